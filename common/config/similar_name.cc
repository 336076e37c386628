#include "common/config/similar_name.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace cddp {
namespace {

// Optimal string alignment: Levenshtein's distance, and a swap of neighbours counts as one.
size_t Slips(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> slips(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        slips[i][j] = i + j;
        continue;
      }
      slips[i][j] = std::min({slips[i - 1][j] + 1, slips[i][j - 1] + 1, slips[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        slips[i][j] = std::min(slips[i][j], slips[i - 2][j - 2] + 1);
      }
    }
  }
  return slips[a.size()][b.size()];
}

}  // namespace

std::string SimilarName(absl::string_view name, const std::vector<std::string>& known) {
  const std::string plain = absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"-", "_"}});
  const bool is_prefix_of_one = std::count_if(known.begin(), known.end(), [&](const std::string& other) {
                                  return absl::StartsWith(other, plain);
                                }) == 1;
  std::string best;
  size_t best_slips = std::numeric_limits<size_t>::max();
  for (const std::string& other : known) {
    size_t slips = Slips(plain, other);
    if (is_prefix_of_one && plain.size() >= 3 && absl::StartsWith(other, plain)) slips = std::min<size_t>(slips, 1);
    if (slips < best_slips) {
      best_slips = slips;
      best = other;
    } else if (slips == best_slips) {
      best.clear();  // unless a nearer one follows
    }
  }
  return best_slips <= std::max<size_t>(plain.size(), 3) / 3 ? best : "";
}

}  // namespace cddp
