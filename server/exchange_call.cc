#include "server/exchange_call.h"

#include <optional>
#include <string>
#include <utility>

#include "common/transport/status.h"
#include "server/exchange_wire.h"

namespace cddp {
namespace {

// What a contribution points into while it waits.
struct HeldPush {
  v1::BucketPush push;
  Limits::Held bytes;
};

}  // namespace

ExchangeCall::ExchangeCall(Shard* shard, Limits* limits, grpc::ByteBuffer* response)
    : shard_(*shard), response_(response), call_(limits) {}

bool ExchangeCall::Begin(const std::string& peer) {
  const absl::Status status = call_.Begin(peer);
  if (!status.ok()) Refuse(status);
  return status.ok();
}

void ExchangeCall::Refuse(const absl::Status& why) { Finish(ToGrpc(why)); }

void ExchangeCall::Start(v1::ExchangeRequest request) {
  const size_t pushes = static_cast<size_t>(request.pushes_size());
  answers_.resize(pushes);
  unanswered_ = pushes;
  for (size_t i = 0; i < pushes; ++i) {
    auto held = std::make_shared<HeldPush>();
    held->push.Swap(request.mutable_pushes(static_cast<int>(i)));
    const v1::BucketPush& push = held->push;
    absl::StatusOr<Limits::Held> bytes = call_.Hold(push.bucket(), push.update().size());
    if (!bytes.ok()) {
      Answered(i, bytes.status());
      continue;
    }
    held->bytes = *std::move(bytes);
    const Contribution contribution = {
        request.worker().rank(), push.step(),
        push.base_version(),     push.update(),
        push.non_finite(),       push.has_replica_crc32c() ? std::optional(push.replica_crc32c()) : std::nullopt};
    shard_.Exchange(request.worker().incarnation(), request.view(), push.bucket(), contribution,
                    [this, i, held](const absl::StatusOr<ExchangeAnswer>& answer) mutable {
                      held.reset();
                      Answered(i, answer);
                    });
  }
}

void ExchangeCall::Answered(size_t push, const absl::StatusOr<ExchangeAnswer>& answer) {
  if (answer.ok()) {
    answers_[push] = *answer;
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
  for (const ExchangeAnswer& answer : answers_) bytes += answer.bytes();
  call_.Answered(bytes);
  *response_ = SerializeExchangeResponse(answers_);
  answers_.clear();  // the response refers to the updates from now on
  Finish(grpc::Status::OK);
}

}  // namespace cddp
