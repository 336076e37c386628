// The lines that a person sees while a job runs.

#ifndef DEPLOY_CTL_PROGRESS_H_
#define DEPLOY_CTL_PROGRESS_H_

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cddp::ctl {

// Writes permanent lines, and on a terminal one more line below them that is redrawn. In a file or a pipe
// only the permanent lines appear. Not thread-safe.
class Progress {
 public:
  // Writes to `out`, which outlives this object; checks whether it is a terminal.
  explicit Progress(std::FILE* out);
  ~Progress();

  bool terminal() const { return terminal_; }

  void Print(absl::string_view line);

  // Redraws the line with as many of the parts, joined by two spaces, as fit into the terminal's width. At most ten
  // times a second; other calls do nothing.
  void Redraw(const std::vector<std::string>& parts);

  // Erases the redrawn line.
  void Clear();

 private:
  std::FILE* const out_;
  const bool terminal_;
  bool drawn_ = false;
  absl::Time drawn_at_ = absl::InfinitePast();
};

// As many of the parts, joined by two spaces, as fit into `columns`; the first is cut if it must be. ASCII only.
std::string FitParts(const std::vector<std::string>& parts, size_t columns);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_PROGRESS_H_
