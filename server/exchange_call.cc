#include "server/exchange_call.h"

#include <utility>

#include "common/transport/exchange_wire.h"
#include "common/transport/status.h"

namespace cddp {
ExchangeCall::ExchangeCall(Shard* shard, Limits* limits, grpc::ByteBuffer* response)
    : shard_(*shard), response_(response), call_(limits) {}

bool ExchangeCall::Begin(const std::string& peer) {
  const absl::Status status = call_.Begin(peer);
  if (!status.ok()) Refuse(status);
  return status.ok();
}

void ExchangeCall::Refuse(const absl::Status& why) { Finish(ToGrpc(why)); }

void ExchangeCall::Start(PushRequest request) {
  pushes_.resize(request.pushes.size());
  unanswered_ = request.pushes.size();
  for (size_t i = 0; i < request.pushes.size(); ++i) {
    Push& push = request.pushes[i];
    absl::StatusOr<Limits::Held> bytes = call_.Hold(push.bucket, push.update.size());
    if (!bytes.ok()) {
      Answered(i, bytes.status());
      continue;
    }
    pushes_[i].bytes = *std::move(bytes);
    shard_.Exchange(request.incarnation, request.view, push.bucket,
                    {request.rank, push.step, push.base_version, std::move(push.update), push.non_finite,
                     push.replica_crc32c, push.weight},
                    [this, i](absl::StatusOr<ExchangeAnswer> answer) { Answered(i, std::move(answer)); });
  }
}

void ExchangeCall::Answered(size_t push, absl::StatusOr<ExchangeAnswer> answer) {
  { const Limits::Held released = std::move(pushes_[push].bytes); }
  if (answer.ok()) {
    pushes_[push].answer = *std::move(answer);
  } else {
    MutexLock lock(mutex_);
    error_.Update(answer.status());
  }
  if (unanswered_.fetch_sub(1, std::memory_order_acq_rel) == 1) Complete();
}

void ExchangeCall::Complete() {
  absl::Status error;
  {
    MutexLock lock(mutex_);
    error = error_;
  }
  if (!error.ok()) return Refuse(error);
  uint64_t bytes = 0;
  std::vector<PackedReply> replies;
  replies.reserve(pushes_.size());
  for (Waiting& push : pushes_) {
    bytes += push.answer.bytes();
    replies.push_back({push.answer.version, std::move(push.answer.updates), push.answer.refused, push.answer.replaces});
  }
  pushes_.clear();
  call_.Answered(bytes);
  *response_ = SerializeExchangeResponse(replies);
  Finish(grpc::Status::OK);
}

}  // namespace cddp
