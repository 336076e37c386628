#include "common/transport/address.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cddp {
namespace {

bool HasPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  return colon != absl::string_view::npos && colon > 0 && absl::SimpleAtoi(address.substr(colon + 1), &port) &&
         port > 0 && port < 65536;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseAddresses(absl::string_view list) {
  std::vector<std::string> addresses;
  for (absl::string_view address : absl::StrSplit(list, ',', absl::SkipWhitespace())) {
    address = absl::StripAsciiWhitespace(address);
    if (!absl::StartsWith(address, "unix:") && !HasPort(address)) {
      return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an address: use host:port"));
    }
    if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) {
      return absl::InvalidArgumentError(absl::StrCat("address '", address, "' is given twice"));
    }
    addresses.emplace_back(address);
  }
  if (addresses.empty()) return absl::InvalidArgumentError("no server address given: use host:port,host:port");
  return addresses;
}

std::string HostOf(absl::string_view address) { return std::string(address.substr(0, address.rfind(':'))); }

}  // namespace cddp
