#include "common/transport/address.h"

#include <algorithm>
#include <cstdint>
#include <unordered_set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cddp {
namespace {

bool IsUnixSocket(absl::string_view address) {
  return absl::StartsWith(address, "unix:") || absl::StartsWith(address, "unix-abstract:");
}

// "host:port" of "dns:///host:port", or of "dns://10.0.0.2/host:port", which names the DNS server.
absl::string_view WithoutScheme(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "dns://")) {
    const size_t slash = address.find('/');
    return slash == absl::string_view::npos ? "" : address.substr(slash + 1);
  }
  for (const absl::string_view scheme : {"dns:", "ipv4:", "ipv6:"}) {
    if (absl::ConsumePrefix(&address, scheme)) break;
  }
  return address;
}

absl::StatusOr<HostPort> Parse(absl::string_view address, PortUse use) {
  return ParseHostPort(WithoutScheme(address), use);
}

constexpr uint32_t kMostServers = 10000;

// The addresses for which "server-{2}:50051" stands; an address without braces stands for itself.
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
      if (!IsUnixSocket(address)) {
        if (absl::Status status = Parse(address, PortUse::kConnect).status(); !status.ok()) return status;
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

absl::Status CheckAddress(absl::string_view flag, absl::string_view address, PortUse use) {
  if (IsUnixSocket(address)) return absl::OkStatus();
  const absl::Status status = Parse(address, use).status();
  return status.ok() ? status : absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
}

bool IsLoopback(absl::string_view address) {
  if (IsUnixSocket(address)) return true;
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address, PortUse::kListen);
  if (!parsed.ok()) return false;
  if (parsed->host == "localhost") return true;
  if (!IsNumericHost(parsed->host)) return false;  // 127.0.0.1.example.com is a name
  const absl::StatusOr<std::vector<SocketAddress>> found = Resolve(*parsed, PortUse::kListen);
  return found.ok() && IsLoopback(found->front());
}

std::string LoopbackAmongOthers(const std::vector<std::string>& addresses) {
  const auto is_loopback = [](const std::string& address) { return IsLoopback(address); };
  const auto own = std::find_if(addresses.begin(), addresses.end(), is_loopback);
  const auto other = std::find_if_not(addresses.begin(), addresses.end(), is_loopback);
  if (own == addresses.end() || other == addresses.end()) return "";
  return absl::StrCat(*own, " is this machine alone and ", *other,
                      " may be another: on a third, the first means another server than here");
}

std::string LocalAddressOf(absl::string_view listen) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(listen, PortUse::kListen);
  if (!parsed.ok()) return std::string(listen);
  if (parsed->host == "0.0.0.0") return HostPort{"127.0.0.1", parsed->port}.ToString();
  if (parsed->host == "::") return HostPort{"::1", parsed->port}.ToString();
  return std::string(listen);
}

}  // namespace cddp
