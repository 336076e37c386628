#include "tests/golden/golden_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

std::string PathOf(const std::string& name) { return absl::StrCat(CDDP_GOLDEN_DIR, "/", name); }

bool IsToRenew() {
  const char* const renew = std::getenv("CDDP_RENEW_GOLDEN");
  return renew != nullptr && absl::string_view(renew) == "1";
}

}  // namespace

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string ReadGolden(const std::string& name) { return ReadWhole(PathOf(name)); }

void ExpectGolden(const std::string& name, absl::string_view bytes) {
  if (IsToRenew()) {
    std::ofstream(PathOf(name), std::ios::binary | std::ios::trunc) << bytes;
    ADD_FAILURE() << name << " was written anew: look at the difference, then run without CDDP_RENEW_GOLDEN";
    return;
  }
  const std::string golden = ReadGolden(name);
  if (golden == bytes) return;
  const size_t at =
      std::mismatch(golden.begin(), golden.begin() + std::min(golden.size(), bytes.size()), bytes.begin()).first -
      golden.begin();
  constexpr size_t kShown = 16;
  ADD_FAILURE() << name << " has " << golden.size() << " bytes, the same content takes " << bytes.size()
                << " now; the first that differs is byte " << at << ": "
                << absl::BytesToHexString(absl::string_view(golden).substr(std::min(at, golden.size()), kShown))
                << " in the file, " << absl::BytesToHexString(bytes.substr(std::min(at, bytes.size()), kShown))
                << " now. The format has changed: files and peers of the last release will not be understood. If that "
                   "is meant, raise the format's version and see golden_file.h";
}

}  // namespace cddp
