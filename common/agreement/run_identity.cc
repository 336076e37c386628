#include "common/agreement/run_identity.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cddp {
namespace {

constexpr size_t kLongestName = 64;

}  // namespace

std::string NewRunName() {
  std::random_device device;
  return absl::StrFormat("%08x%08x", device(), device());
}

absl::Status CheckRunName(absl::string_view flag, absl::string_view name) {
  const bool good = !name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, "='", name, "': a run's name has 1 to ", kLongestName,
                                                 " letters, digits, dots, dashes and underscores"));
}

}  // namespace cddp
