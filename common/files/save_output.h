// A result that took long to make is not lost to a full disk.

#ifndef COMMON_FILES_SAVE_OUTPUT_H_
#define COMMON_FILES_SAVE_OUTPUT_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"

namespace cddp {

struct SaveOptions {
  absl::Duration patience = absl::Seconds(60);  // how long to try again: somebody may make room
  absl::Duration pause = absl::Milliseconds(500);
  // Empty: a new folder in $TMPDIR, or in /tmp.
  std::string refuge;
  std::function<bool()> should_stop;                  // empty: never; true ends the patience
  std::function<void(const absl::Status&)> on_first;  // told of the first failure; empty: nobody
};

// Calls `write` with `path` until it succeeds or the patience is over; then once more with a file of the same name in
// the refuge. OK only if the result is at `path`. Internal otherwise, with the reason and with where the result is now,
// or that it is lost. `write` replaces a file whole or not at all (ReplaceFile).
absl::Status SaveOutput(const std::string& path, const std::function<absl::Status(const std::string&)>& write,
                        Clock& clock, const SaveOptions& options);

}  // namespace cddp

#endif  // COMMON_FILES_SAVE_OUTPUT_H_
