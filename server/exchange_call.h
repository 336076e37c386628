// One Exchange call, from its request until its answer has been taken.

#ifndef SERVER_EXCHANGE_CALL_H_
#define SERVER_EXCHANGE_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/transport/exchange_message.h"
#include "server/bucket_state.h"
#include "server/limits.h"
#include "server/shard.h"

namespace cddp {

// Hands each push to its bucket, which frees its bytes as soon as it is answered, and answers the call when all are;
// with the first push's error if there are any. An error that ends the worker (FailedPrecondition) is sent at once: the
// other pushes may wait for workers that wait for this one. Deletes itself when the call is over and all pushes are
// answered. Thread-safe.
class ExchangeCall final : public grpc::ServerUnaryReactor {
 public:
  // All must outlive the call.
  ExchangeCall(Shard* shard, Limits* limits, grpc::ByteBuffer* response);

  // Call it first. Counts the call of `peer`; false if it was refused and answered with that.
  bool Begin(const std::string& peer);
  void Refuse(const absl::Status& why);
  // At most once.
  void Start(PushRequest request);

  void OnCancel() override { call_.Abandoned(); }
  void OnDone() override { Release(); }

 private:
  // A push while it waits, then its answer.
  struct Waiting {
    Limits::Held held;
    uint64_t step = 0;
    uint64_t bytes = 0;
    absl::StatusOr<ExchangeAnswer> answer = absl::UnknownError("not answered");
  };

  void Answered(size_t push, absl::StatusOr<ExchangeAnswer> answer);
  void Complete();  // once every push is answered
  void Answer();
  void Release();

  Shard& shard_;
  grpc::ByteBuffer* const response_;
  Limits::Call call_;
  uint32_t rank_ = 0;
  std::vector<Waiting> pushes_;  // in their order
  std::atomic<size_t> unanswered_{0};
  std::atomic<bool> refused_{false};
  std::atomic<int> users_{1};  // gRPC, and the pushes until all are answered
};

}  // namespace cddp

#endif  // SERVER_EXCHANGE_CALL_H_
