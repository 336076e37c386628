#include "deploy/ctl/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/clock/steady_time.h"

namespace cddp::ctl {
namespace {

constexpr absl::Duration kRedrawPeriod = absl::Milliseconds(100);
constexpr absl::string_view kEraseLine = "\r\x1b[K";

bool CanRedraw(std::FILE* out) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(out)) && term != nullptr && absl::string_view(term) != "dumb";
}

size_t Columns(std::FILE* out) {
  winsize size;
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void Write(std::FILE* out, absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

}  // namespace

Progress::Progress(std::FILE* out) : out_(out), terminal_(CanRedraw(out)) {}

Progress::~Progress() { Clear(); }

void Progress::Print(absl::string_view line) {
  Clear();
  Write(out_, absl::StrCat(line, "\n"));
}

void Progress::Redraw(const std::vector<std::string>& parts) {
  const absl::Time now = SteadyNow();
  if (!terminal_ || now - drawn_at_ < kRedrawPeriod) return;
  drawn_at_ = now;
  drawn_ = true;
  // The last column stays free: a character there makes some terminals begin a new line.
  Write(out_, absl::StrCat(kEraseLine, FitParts(parts, Columns(out_) - 1)));
}

void Progress::Clear() {
  if (!drawn_) return;
  drawn_ = false;
  drawn_at_ = absl::InfinitePast();
  Write(out_, kEraseLine);
}

std::string FitParts(const std::vector<std::string>& parts, size_t columns) {
  std::string line;
  for (const std::string& part : parts) {
    if (line.empty()) {
      line = part.substr(0, columns);
    } else if (line.size() + 2 + part.size() <= columns) {
      absl::StrAppend(&line, "  ", part);
    } else {
      break;
    }
  }
  return line;
}

}  // namespace cddp::ctl
