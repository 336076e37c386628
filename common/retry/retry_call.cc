#include "common/retry/retry_call.h"

#include <optional>

#include "absl/strings/str_cat.h"

namespace cddp {

absl::Status RetryCall(Clock& clock, Retry& retry, Attempt attempt, OnPause on_pause) {
  while (true) {
    const absl::Status status = attempt(retry.Begin(clock.Now()));
    if (status.ok()) {
      retry.NoteProgress(clock.Now());
      return status;
    }
    const std::optional<absl::Duration> pause = retry.NoteFailure(FailureOf(status), clock.Now());
    if (!pause.has_value()) return status;
    on_pause(status, *pause);
    if (!clock.Sleep(*pause)) {
      return absl::CancelledError(absl::StrCat("ended during a retry: ", status.message()));
    }
  }
}

absl::Status RetryCall(Clock& clock, Retry& retry, Attempt attempt) {
  return RetryCall(clock, retry, attempt, [](const absl::Status&, absl::Duration) {});
}

}  // namespace cddp
