// Repeats a call until it succeeds or its Retry gives up, for threads that may wait.

#ifndef COMMON_RETRY_RETRY_CALL_H_
#define COMMON_RETRY_RETRY_CALL_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/retry/retry.h"

namespace cddp {

// `attempt` makes one try, which must end within `timeout`. It may call retry.NoteProgress meanwhile.
// Returns its last status (GaveUp adds the duration), or Cancelled if the clock's sleep was ended.
using Attempt = absl::FunctionRef<absl::Status(absl::Duration timeout)>;
// Called before each pause, for the log.
using OnPause = absl::FunctionRef<void(const absl::Status& failed, absl::Duration pause)>;

absl::Status RetryCall(Clock& clock, Retry& retry, Attempt attempt, OnPause on_pause);
absl::Status RetryCall(Clock& clock, Retry& retry, Attempt attempt);

}  // namespace cddp

#endif  // COMMON_RETRY_RETRY_CALL_H_
