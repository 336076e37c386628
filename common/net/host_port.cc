#include "common/net/host_port.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace cddp {
namespace {

constexpr char kExamplePort[] = "50051";

absl::Status Wrong(absl::string_view text, absl::string_view why, absl::string_view right) {
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' ", why, ": write ", right));
}

bool IsIpv6(absl::string_view host) {
  in6_addr bytes;
  const std::string number(host.substr(0, host.find('%')));  // fe80::1%eth0 names the interface as well
  return inet_pton(AF_INET6, number.c_str(), &bytes) == 1;
}

bool IsIpv4(absl::string_view host) {
  in_addr bytes;
  return inet_pton(AF_INET, std::string(host).c_str(), &bytes) == 1;
}

// Letters, digits, '-', '_' and '.', as names of hosts and services have them.
bool IsName(absl::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
}

absl::Status CheckUnbracketed(absl::string_view text, absl::string_view host, absl::string_view port) {
  if (absl::StrContains(host, ':')) {
    if (IsIpv6(text)) {
      // "::1:50051" is itself an address, but an address with a port was meant.
      return Wrong(text, "is an IPv6 address, which stands in brackets before its port",
                   IsIpv6(host) ? absl::StrCat("[", host, "]:", port) : absl::StrCat("[", text, "]:", kExamplePort));
    }
    if (IsIpv6(host)) {
      return Wrong(text, "is an IPv6 address, which stands in brackets before its port",
                   absl::StrCat("[", host, "]:", port));
    }
    return Wrong(text, "has more than one colon", "host:port");
  }
  if (host.empty()) return Wrong(text, "has no host", absl::StrCat("0.0.0.0:", port, " or host:", port));
  if (!IsName(host)) return Wrong(text, "is not an address: a host has no such characters", "host:port");
  // inet_pton accepts four numbers only; 300.1.1.1 or 10.0.1 would be looked up as a name, or parsed in an obsolete
  // form.
  if (host.find_first_not_of("0123456789.") == absl::string_view::npos && !IsIpv4(host)) {
    return Wrong(text, "is not an IPv4 address", absl::StrCat("1.2.3.4:", port));
  }
  return absl::OkStatus();
}

}  // namespace

std::string HostPort::ToString() const {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text, PortUse use) {
  if (text.empty()) return absl::InvalidArgumentError("the address is empty: write host:port");
  if (const size_t scheme = text.find("://"); scheme != absl::string_view::npos) {
    return Wrong(text, "has a scheme, and addresses here have none", text.substr(scheme + 3));
  }
  const bool bracketed = text.front() == '[';
  const size_t close = text.find(']');
  const size_t colon = bracketed ? close == absl::string_view::npos ? close : close + 1 : text.rfind(':');
  if (bracketed && close == absl::string_view::npos) return Wrong(text, "has no closing bracket", "[::1]:50051");
  if (colon == absl::string_view::npos || colon >= text.size()) {
    return Wrong(text, "has no port", absl::StrCat(text, ":", kExamplePort));
  }
  const absl::string_view port_text = text.substr(colon + (text[colon] == ':' ? 1 : 0));
  HostPort result;
  result.host = std::string(bracketed ? text.substr(1, close - 1) : text.substr(0, colon));
  if (bracketed && (text[colon] != ':' || !IsIpv6(result.host))) {
    return Wrong(text, "is not an IPv6 address with a port", "[::1]:50051");
  }
  if (!bracketed) {
    if (absl::Status status = CheckUnbracketed(text, result.host, port_text); !status.ok()) return status;
  }
  if (port_text.empty()) return Wrong(text, "has no port", absl::StrCat(text, kExamplePort));
  uint32_t port = 0;
  const bool digits = port_text.find_first_not_of("0123456789") == absl::string_view::npos;
  if (!digits || !absl::SimpleAtoi(port_text, &port) || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "': port '", port_text, "' is not a number from ",
                                                   use == PortUse::kListen ? 0 : 1, " to 65535"));
  }
  if (port == 0 && use == PortUse::kConnect) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "': port 0 means any free one, which nobody can connect to: name the server's"));
  }
  result.port = static_cast<uint16_t>(port);
  return result;
}

std::string SocketAddress::ToString() const {
  char host[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET6) {
    const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    inet_ntop(AF_INET6, &ipv6->sin6_addr, host, sizeof(host));
    return absl::StrCat("[", host, "]:", ntohs(ipv6->sin6_port));
  }
  const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&storage);
  inet_ntop(AF_INET, &ipv4->sin_addr, host, sizeof(host));
  return absl::StrCat(host, ":", ntohs(ipv4->sin_port));
}

absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& address, PortUse use) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (use == PortUse::kListen ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, [](addrinfo* list) {
    if (list != nullptr) freeaddrinfo(list);
  });
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = error == 0 ? found : nullptr; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family != AF_INET && entry->ai_family != AF_INET6) continue;
    SocketAddress one;
    std::memcpy(&one.storage, entry->ai_addr, entry->ai_addrlen);
    one.length = entry->ai_addrlen;
    addresses.push_back(one);
  }
  if (!addresses.empty()) return addresses;
  return absl::InvalidArgumentError(absl::StrCat("the host name '", address.host, "' has no address (",
                                                 error == 0 ? "none of TCP" : gai_strerror(error), ")"));
}

bool IsLoopback(const SocketAddress& address) {
  if (address.family() == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr.s_addr) >> 24 == 127;
  }
  const in6_addr& ipv6 = reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&ipv6) || (IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == 127);
}

bool IsNumericHost(absl::string_view host) { return IsIpv4(host) || IsIpv6(host); }

std::string LoopbackWarning(const HostPort& address) {
  if (address.host == "localhost" || IsNumericHost(address.host)) return "";
  const absl::StatusOr<std::vector<SocketAddress>> found = Resolve(address, PortUse::kConnect);
  if (!found.ok() || !std::all_of(found->begin(), found->end(), [](const auto& one) { return IsLoopback(one); })) {
    return "";
  }
  return absl::StrCat("the host name '", address.host, "' leads to ", found->front().ToString(),
                      ", this machine alone (/etc/hosts?): other machines cannot reach it; write the address that they "
                      "reach, or 0.0.0.0 to listen on all");
}

}  // namespace cddp
