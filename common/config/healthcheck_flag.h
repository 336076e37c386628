// --healthcheck[=ADDRESS]: instead of running, the program asks a running one for its health.

#ifndef COMMON_CONFIG_HEALTHCHECK_FLAG_H_
#define COMMON_CONFIG_HEALTHCHECK_FLAG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

struct HealthcheckFlag {
  bool wanted = false;
  std::string address;  // empty: the address on which the program listens by its other flags
};

inline bool AbslParseFlag(absl::string_view text, HealthcheckFlag* flag, std::string* error) {
  flag->wanted = text != "false";
  flag->address = flag->wanted && text != "true" ? std::string(text) : "";
  return true;
}

inline std::string AbslUnparseFlag(const HealthcheckFlag& flag) {
  if (!flag.wanted) return "false";
  return flag.address.empty() ? "true" : flag.address;
}

}  // namespace cddp

#endif  // COMMON_CONFIG_HEALTHCHECK_FLAG_H_
