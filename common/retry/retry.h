// When to try a failed call again, and when to give up: the one rule of workers and tools.

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
  kLost,       // no answer, or one that the server is starting or ending: it is out of reach
  kBusy,       // the server is there but has no room for the call now
  kPermanent,  // the same call will fail again
};

// Unavailable, DeadlineExceeded and Cancelled are kLost, ResourceExhausted is kBusy; every other error is permanent.
Failure FailureOf(const absl::Status& status);

struct RetryOptions {
  // How long an outage may last.
  absl::Duration patience = absl::Seconds(60);
  // How long a server may be busy without any progress. A busy server is expected to work its load off, so that this is
  // longer. Zero: ten times `patience`.
  absl::Duration busy_patience = absl::ZeroDuration();
  // How long one try may take; infinite for a call that waits for others (an Exchange for its round).
  absl::Duration try_timeout = absl::Seconds(5);
};

// State of one call, or of a sequence of calls to one server, from the first try to its end. Times come from one
// monotonic clock.
//
// An outage begins with the try that failed first and ends with progress: an answer, a part of a stream, a busy
// server's refusal, or a heartbeat's answer during a try that waited for kParked or longer. Progress resets the backoff
// too.
//
// Gives up when the outage has lasted for `patience`, never earlier: the last pause is cut so that a last try begins
// exactly then. A try that began more than kLastTry earlier and was still under way then is not the last one: a
// long wait that breaks off, or a process that stood still (SIGSTOP), is followed by one more try. So it gives up no
// later than kLastTry after `patience`, if tries keep to their try_timeout.
//
// Refusals of a busy server end an outage, and are bounded by `busy_patience` from the first of them; only an answer
// ends that. So a server that is busy and out of reach by turns cannot hold a caller for ever.
//
// No lock, clock or callback. Not thread-safe.
class Retry {
 public:
  static constexpr absl::Duration kLastTry = absl::Seconds(1);
  // A try that lasted so long was not turned away at once. Heartbeats during shorter tries say nothing: a server that
  // answers heartbeats but refuses every call must not hold the caller for ever.
  static constexpr absl::Duration kParked = absl::Seconds(5);

  // `seed` tells callers apart (the worker's rank), so that they do not all try at the same moment.
  Retry(const RetryOptions& options, uint64_t seed) : options_(options), backoff_(seed) {}

  // A try begins. Returns how long it may take: try_timeout, less where the patience ends before, infinite if
  // try_timeout is.
  absl::Duration Begin(absl::Duration now);

  // The call, or a part of it, was answered. A Retry may then serve the next call.
  void NoteProgress(absl::Duration now);

  // A heartbeat to the same server was answered, at a time that may lie before Begin.
  void NoteHeard(absl::Duration at);

  // The try failed. Returns the pause before the next one, or nothing: give up.
  std::optional<absl::Duration> NoteFailure(Failure failure, absl::Duration now);

  // How long the outage, or the server's being busy, has lasted; for messages.
  absl::Duration FailingFor(absl::Duration now) const;

  // Tries that failed and were, or are to be, followed by another.
  uint64_t retries() const { return retries_; }

 private:
  absl::Duration BusyPatience() const;
  // When the patience ends; infinite while nothing has failed.
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

// What to tell when a Retry gave up on the server at `address`: the last error, with how long that went on.
absl::Status GaveUp(absl::string_view address, absl::Duration failing_for, const absl::Status& last);

}  // namespace cddp

#endif  // COMMON_RETRY_RETRY_H_
