// --rank: a number, or `auto` for a rank that the servers choose.

#ifndef WORKER_RANK_FLAG_H_
#define WORKER_RANK_FLAG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cddp {

struct RankFlag {
  std::optional<uint32_t> rank;  // nullopt: auto
};

inline bool AbslParseFlag(absl::string_view text, RankFlag* flag, std::string* error) {
  if (text == "auto") {
    flag->rank.reset();
    return true;
  }
  uint32_t rank = 0;
  if (!absl::SimpleAtoi(text, &rank)) {
    *error = "use a number from 0, or auto";
    return false;
  }
  flag->rank = rank;
  return true;
}

inline std::string AbslUnparseFlag(const RankFlag& flag) {
  return flag.rank.has_value() ? absl::StrCat(*flag.rank) : "auto";
}

}  // namespace cddp

#endif  // WORKER_RANK_FLAG_H_
