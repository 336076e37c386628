// Limits of a server's callers: bytes in all; calls, rate and unread answers per peer. A peer is a
// host: connections of one machine count together, so that opening more of them gains nothing.
//
// Requests that wait for other workers hold memory until their round is complete. If rounds that wait for calls without
// room held all of it, no round would ever complete. So half of the bytes are reserved for calls that contribute to the
// bucket that has waited longest: every worker's call for it finds room, its round completes, and the next bucket is
// the one that has waited longest.

#ifndef SERVER_LIMITS_H_
#define SERVER_LIMITS_H_

#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "server/refusals.h"

namespace cddp {

struct LimitOptions {
  uint64_t max_inflight_bytes = uint64_t{2} << 30;  // of requests held; and of the answers that one peer has not read
  uint32_t max_calls_per_peer = 10'000;             // that wait, or whose answer is not read
  double max_rate_per_peer = 100'000;               // calls a second, of all kinds; 0: any
};

// InvalidArgument naming the flag that makes no sense.
absl::Status Validate(const LimitOptions& options);

// Thread-safe. Refusals are ResourceExhausted, worth another try after a pause, and noted as refusals.
class Limits {
 public:
  // All must outlive it. Makes its gauges in `registry`.
  Limits(const LimitOptions& options, prometheus::Registry* registry, const std::string& shard, Refusals* refusals);

  const LimitOptions& options() const { return options_; }

  // Counts one call of any kind from `peer` (in gRPC's form); an error if it comes too fast.
  absl::Status TakeTurn(const std::string& peer);

  // InvalidArgument if one round of `workers` workers' largest updates of `bucket_elements` would not fit.
  absl::Status CheckRound(uint32_t workers, uint64_t bucket_elements) const;

  // Bytes of a request, held until this is destroyed. Moved from: none.
  class Held {
   public:
    Held() = default;
    Held(Held&& other) noexcept : limits_(std::exchange(other.limits_, nullptr)), request_(other.request_) {}
    Held& operator=(Held&& other) noexcept;
    ~Held();

   private:
    friend class Limits;
    struct Request {
      uint32_t bucket;
      uint64_t bytes;
    };
    Limits* limits_ = nullptr;
    std::list<Request>::iterator request_;  // of limits_->held_
  };

  // A call that may last. It counts until it is destroyed, which must be after the peer has taken the answer, since
  // gRPC keeps the answer until then. The methods may be called from any thread.
  class Call {
   public:
    explicit Call(Limits* limits) : limits_(*limits) {}
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    // TakeTurn, and the number of calls and the unread answers of the peer. Once, and before the others.
    absl::Status Begin(const std::string& peer);
    // Bytes of the request that contribute to `bucket`.
    absl::StatusOr<Held> Hold(uint32_t bucket, uint64_t bytes);
    // `bytes` of its answer, and no others, wait to be read.
    void Answered(uint64_t bytes);
    // The peer has gone away: it does not wait for the answer any more.
    void Abandoned();

   private:
    friend class Limits;
    Limits& limits_;
    // Under limits_.mutex_.
    std::string host_;  // empty: not begun
    bool waits_ = false;
    uint64_t unread_ = 0;
  };

  // Waits until no call waits for its answer, except those of peers that went away, at most `timeout`; returns whether
  // that holds.
  bool WaitForCalls(absl::Duration timeout);

  uint64_t inflight_bytes() const;
  uint64_t unread_bytes() const;

 private:
  struct Peer {
    double turns = 0;  // calls it may make at once
    absl::Time refilled = absl::InfinitePast();
    uint32_t calls = 0;
    uint64_t unread = 0;
  };
  Peer& PeerOf(const std::string& host, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayCall(Peer* peer) const;
  absl::Status TooFast(const std::string& peer);
  void StopWaiting(Call* call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const LimitOptions options_;
  Refusals& refusals_;
  prometheus::Gauge* calls_gauge_;
  prometheus::Gauge* bytes_gauge_;
  prometheus::Gauge* unread_gauge_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Peer, std::less<>> peers_ ABSL_GUARDED_BY(mutex_);  // by host
  std::list<Held::Request> held_ ABSL_GUARDED_BY(mutex_);                   // oldest first
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;                              // of held_
  uint64_t unread_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // calls
};

}  // namespace cddp

#endif  // SERVER_LIMITS_H_
