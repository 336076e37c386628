// One Exchange call, from its request until its answer has been taken.

#ifndef SERVER_EXCHANGE_CALL_H_
#define SERVER_EXCHANGE_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/sync/mutex.h"
#include "common/transport/exchange_message.h"
#include "server/bucket_state.h"
#include "server/limits.h"
#include "server/shard.h"

namespace cddp {

// Hands each push to its bucket, which frees its bytes as soon as it is answered, and answers the call when all are;
// with the first error if there was one. Deletes itself when the call is over. Thread-safe.
class ExchangeCall final : public grpc::ServerUnaryReactor {
 public:
  // All must outlive the call.
  ExchangeCall(Shard* shard, Limits* limits, grpc::ByteBuffer* response);

  // Counts the call of `peer`; false if it was refused, and has been answered so. First of all.
  bool Begin(const std::string& peer);
  void Refuse(const absl::Status& why);
  // At most once.
  void Start(PushRequest request);

  void OnCancel() override { call_.Abandoned(); }
  void OnDone() override { delete this; }

 private:
  // A push while it waits, then its answer.
  struct Waiting {
    Limits::Held bytes;
    ExchangeAnswer answer;
  };

  void Answered(size_t push, absl::StatusOr<ExchangeAnswer> answer);
  void Complete();  // once every push is answered

  Shard& shard_;
  grpc::ByteBuffer* const response_;
  Limits::Call call_;
  std::vector<Waiting> pushes_;  // in their order
  std::atomic<size_t> unanswered_{0};
  Mutex mutex_;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // the first
};

}  // namespace cddp

#endif  // SERVER_EXCHANGE_CALL_H_
