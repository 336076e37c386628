#include "common/transport/address.h"

#include <arpa/inet.h>

#include <cstdint>
#include <unordered_set>
#include <utility>

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

constexpr uint32_t kMostServers = 10000;

// The addresses that "server-{2}:50051" stands for; one without braces stands for itself.
absl::StatusOr<std::vector<std::string>> ExpandBraces(absl::string_view address) {
  const size_t open = address.find_first_of("{}");
  if (open == absl::string_view::npos) return std::vector<std::string>{std::string(address)};
  const size_t close = address.find_first_of("{}", open + 1);
  uint32_t count = 0;
  if (address[open] != '{' || close == absl::string_view::npos || address[close] != '}' ||
      address.find_first_of("{}", close + 1) != absl::string_view::npos ||
      !absl::SimpleAtoi(address.substr(open + 1, close - open - 1), &count) || count == 0 || count > kMostServers) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not understood: {N} in an address stands for ",
                                                   "0 to N-1, N from 1 to ", kMostServers));
  }
  std::vector<std::string> addresses;
  for (uint32_t i = 0; i < count; ++i) {
    addresses.push_back(absl::StrCat(address.substr(0, open), i, address.substr(close + 1)));
  }
  return addresses;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseAddresses(absl::string_view list) {
  std::vector<std::string> addresses;
  std::unordered_set<std::string> seen;
  for (absl::string_view piece : absl::StrSplit(list, ',', absl::SkipWhitespace())) {
    absl::StatusOr<std::vector<std::string>> expanded = ExpandBraces(absl::StripAsciiWhitespace(piece));
    if (!expanded.ok()) return expanded.status();
    for (std::string& address : *expanded) {
      if (!absl::StartsWith(address, "unix:") && !HasPort(address)) {
        return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an address: use host:port"));
      }
      if (!seen.insert(address).second) {
        return absl::InvalidArgumentError(absl::StrCat("address '", address, "' is given twice"));
      }
      addresses.push_back(std::move(address));
    }
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
