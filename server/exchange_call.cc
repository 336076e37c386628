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
  rank_ = request.rank;
  pushes_.resize(request.pushes.size());
  unanswered_ = request.pushes.size();
  if (!request.pushes.empty()) users_.fetch_add(1, std::memory_order_relaxed);
  const absl::Status checked = shard_.CheckCall(request.rank, request.incarnation, request.view);
  for (size_t i = 0; i < request.pushes.size(); ++i) {
    Push& push = request.pushes[i];
    absl::StatusOr<Limits::Held> held = checked.ok() ? call_.Hold(push.bucket, push.update.size()) : checked;
    if (!held.ok()) {
      Answered(i, held.status());
      continue;
    }
    pushes_[i].held = *std::move(held);
    pushes_[i].step = push.step;
    pushes_[i].bytes = push.update.size();
    shard_.Push(push.bucket,
                {request.rank, push.step, push.base_version, std::move(push.update), push.non_finite,
                 push.replica_crc32c, push.weight},
                [this, i](absl::StatusOr<ExchangeAnswer> answer) { Answered(i, std::move(answer)); });
  }
}

void ExchangeCall::Answered(size_t push, absl::StatusOr<ExchangeAnswer> answer) {
  { const Limits::Held released = std::move(pushes_[push].held); }
  if (absl::IsFailedPrecondition(answer.status()) && !refused_.exchange(true)) Refuse(answer.status());
  pushes_[push].answer = std::move(answer);
  if (unanswered_.fetch_sub(1, std::memory_order_acq_rel) == 1) Complete();
}

void ExchangeCall::Release() {
  if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void ExchangeCall::Complete() {
  Answer();
  Release();
}

void ExchangeCall::Answer() {
  Shard::CallTotals totals;
  absl::Status error;
  for (const Waiting& push : pushes_) {
    totals.Add(push.step, push.bytes, push.answer);
    error.Update(push.answer.status());
  }
  shard_.NoteCall(rank_, totals);
  if (refused_.load(std::memory_order_acquire)) return;
  if (!error.ok()) return Refuse(error);
  std::vector<PackedReply> replies;
  replies.reserve(pushes_.size());
  for (Waiting& push : pushes_) {
    ExchangeAnswer& answer = *push.answer;
    replies.push_back({answer.version, std::move(answer.updates), answer.refused, answer.replaces});
  }
  pushes_.clear();
  call_.Answered(totals.sent_bytes);
  *response_ = SerializeExchangeResponse(replies);
  Finish(grpc::Status::OK);
}

}  // namespace cddp
