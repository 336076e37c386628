#include "common/transport/address.h"

#include <arpa/inet.h>

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

bool IsLoopback(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const std::string host = HostOf(address);
  if (host == "localhost" || host == "[::1]") return true;
  in_addr ipv4;  // the whole host must be an address: 127.0.0.1.example.com is a name
  return inet_pton(AF_INET, host.c_str(), &ipv4) == 1 && (ntohl(ipv4.s_addr) >> 24) == 127;
}

std::string LocalAddressOf(absl::string_view listen) {
  const std::string host = HostOf(listen);
  const std::string port(listen.substr(host.size()));
  if (host == "0.0.0.0") return "127.0.0.1" + port;
  if (host == "[::]") return "[::1]" + port;
  return std::string(listen);
}

}  // namespace cddp
