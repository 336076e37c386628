// Saves a result that took long to compute, even if the disk is full.

#ifndef COMMON_FILES_SAVE_OUTPUT_H_
#define COMMON_FILES_SAVE_OUTPUT_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"

namespace cddp {

struct SaveOptions {
  absl::Duration patience = absl::Seconds(60);  // how long to retry: someone may make room
  absl::Duration pause = absl::Milliseconds(500);
  // Empty: a new folder in $TMPDIR, or in /tmp.
  std::string refuge = {};
  std::function<bool()> should_stop = nullptr;                  // empty: never; true ends the retries
  std::function<void(const absl::Status&)> on_first = nullptr;  // called at the first failure; may be empty
};

// Calls `write` with `path` until it succeeds or `patience` is over; then once with a file of the same name in
// `refuge`. OK only if the result is at `path`. Otherwise Internal, with the reason, and the place of the result or
// that it is lost. `write` must replace a file completely or not at all (ReplaceFile).
absl::Status SaveOutput(const std::string& path, const std::function<absl::Status(const std::string&)>& write,
                        Clock& clock, const SaveOptions& options);

}  // namespace cddp

#endif  // COMMON_FILES_SAVE_OUTPUT_H_
