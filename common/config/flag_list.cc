#include "common/config/flag_list.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cddp {

std::string DescribeFlagDifference(absl::string_view written, absl::string_view ours, absl::string_view process) {
  const std::vector<absl::string_view> theirs = absl::StrSplit(written, ' ');
  const std::vector<absl::string_view> mine = absl::StrSplit(ours, ' ');
  for (size_t i = 0; i < std::max(theirs.size(), mine.size()); ++i) {
    const absl::string_view their = i < theirs.size() ? theirs[i] : "nothing";
    const absl::string_view my = i < mine.size() ? mine[i] : "nothing";
    if (their != my) return absl::StrCat("was written with ", their, ", but this ", process, " has ", my);
  }
  return "";
}

}  // namespace cddp
