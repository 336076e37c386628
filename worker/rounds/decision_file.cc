#include "worker/rounds/decision_file.h"

#include <cerrno>
#include <fstream>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/files/durable_file.h"

namespace cddp {

absl::Status ReadDecisions(const std::string& path, absl::string_view form, TakeDecision take) {
  std::ifstream file(path);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be opened"));
  std::optional<uint64_t> last;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t from = 0;
    const bool ascends =
        !words.empty() && absl::SimpleAtoi(words.front(), &from) && (!last.has_value() || from > *last);
    if (!ascends || !take(from, absl::MakeConstSpan(words).subspan(1))) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": line ", number, " is no decision ", form));
    }
    last = from;
  }
  return absl::OkStatus();
}

absl::Status CheckDecisionLog(absl::string_view flag, const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const absl::Status status = CheckReplaceable(path);
  return status.ok() ? status : absl::InvalidArgumentError(absl::StrCat(flag, "=", status.message()));
}

}  // namespace cddp
