// When to retry a failed call, and when to give up: one rule for all workers and tools.

#ifndef COMMON_RETRY_RETRY_H_
#define COMMON_RETRY_RETRY_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/retry/backoff.h"

namespace cddp {

enum class Failure {
  kLost,       // out of reach: no answer, or the server says that it is starting or ending
  kBusy,       // the server is there but has no room for the call now
  kPermanent,  // the same call will fail again
};

// Unavailable, DeadlineExceeded and Cancelled are kLost, ResourceExhausted is kBusy; every other error is permanent.
Failure FailureOf(const absl::Status& status);

struct RetryOptions {
  // How long an outage may last.
  absl::Duration patience = absl::Seconds(60);
  // How long a server may be busy without any progress. A busy server is expected to finish its load, so this is
  // longer. Zero: ten times `patience`.
  absl::Duration busy_patience = absl::ZeroDuration();
  // How long one try may take; infinite for a call that waits for others (an Exchange for its round).
  absl::Duration try_timeout = absl::Seconds(5);
};

// State of one call, or of a sequence of calls to one server, from the first try to its end. Times come from one
// monotonic clock.
//
// An outage begins with the first failed try and ends with progress: an answer, a part of a stream, a busy server's
// refusal, or a heartbeat's answer during a try that waited for kParked or longer. Progress also resets the
// backoff.
//
// It gives up when the outage has lasted for `patience`, never earlier: the last pause is shortened so that a last try
// begins exactly then. A try that began more than kLastTry before that moment and was still under way is not the last
// one: one more try follows a long wait that is interrupted, or a process that was stopped (SIGSTOP). So it gives up no
// later than kLastTry after `patience`, if tries obey their try_timeout.
//
// A busy server's refusals end an outage, but only for `busy_patience` from the first of them; only an answer restarts
// that time. So a server that is alternately busy and out of reach cannot hold a caller for ever.
//
// No lock, clock or callback. Not thread-safe.
class Retry {
 public:
  static constexpr absl::Duration kLastTry = absl::Seconds(1);
  // A try that lasted this long was not refused at once. Heartbeats during shorter tries do not count: a server that
  // answers heartbeats but refuses every call must not hold the caller for ever.
  static constexpr absl::Duration kParked = absl::Seconds(5);

  // `seed` differs between callers (the worker's rank), so that they do not all try at the same moment.
  Retry(const RetryOptions& options, uint64_t seed) : options_(options), backoff_(seed) {}

  // Begins a try. Returns how long it may take: try_timeout, less if `patience` ends before, infinite if try_timeout
  // is.
  absl::Duration Begin(absl::Duration now);

  // The call, or a part of it, was answered. A Retry may then serve the next call.
  void NoteProgress(absl::Duration now);

  // A heartbeat to the same server was answered, at a time that may lie before Begin.
  void NoteHeard(absl::Duration at);

  // Notes that the try failed. Returns the pause before the next one, or nullopt to give up.
  std::optional<absl::Duration> NoteFailure(Failure failure, absl::Duration now);

  // How long the outage or the busy state has lasted, for messages.
  absl::Duration FailingFor(absl::Duration now) const;

  // The number of failed tries after which another was or will be made.
  uint64_t retries() const { return retries_; }

 private:
  absl::Duration BusyPatience() const;
  // The time at which `patience` ends; infinite while nothing has failed.
  absl::Duration End() const;
  const RetryOptions options_;
  Backoff backoff_;
  uint64_t retries_ = 0;
  absl::Duration begun_;                                  // the present try
  absl::Duration progress_ = -absl::InfiniteDuration();   // the last one
  absl::Duration heard_ = -absl::InfiniteDuration();      // the last heartbeat
  absl::Duration lost_since_ = absl::InfiniteDuration();  // begin of the outage
  absl::Duration busy_since_ = absl::InfiniteDuration();
};

// The error for a Retry that gave up on the server at `address`: the last error, with the outage's duration.
absl::Status GaveUp(absl::string_view address, absl::Duration failing_for, const absl::Status& last);

}  // namespace cddp

#endif  // COMMON_RETRY_RETRY_H_
