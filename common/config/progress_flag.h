// --progress=json: a program reports its events to its parent, one JSON line each on standard output.

#ifndef COMMON_CONFIG_PROGRESS_FLAG_H_
#define COMMON_CONFIG_PROGRESS_FLAG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

struct ProgressFlag {
  bool json = false;
};

inline bool AbslParseFlag(absl::string_view text, ProgressFlag* flag, std::string* error) {
  flag->json = text == "json";
  if (flag->json || text.empty()) return true;
  *error = "use json, or leave it out";
  return false;
}

inline std::string AbslUnparseFlag(const ProgressFlag& flag) { return flag.json ? "json" : ""; }

}  // namespace cddp

#endif  // COMMON_CONFIG_PROGRESS_FLAG_H_
