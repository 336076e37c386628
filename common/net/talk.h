// Connecting to a port and hearing what answers there, for probes.

#ifndef COMMON_NET_TALK_H_
#define COMMON_NET_TALK_H_

#include <chrono>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "common/net/host_port.h"

namespace cddp {

// Connects a non-blocking socket. Returns 0, or the errno of the failed connection: ETIMEDOUT after `end`.
int Connect(int fd, const SocketAddress& address, std::chrono::steady_clock::time_point end);

struct Heard {
  std::string bytes;
  bool closed = false;  // by the peer, or the connection failed
};

// Sends `words` over a connected, non-blocking socket, and receives until `enough`, `end` or the end of the connection.
Heard Talk(int fd, absl::string_view words, absl::FunctionRef<bool(const std::string& bytes)> enough,
           std::chrono::steady_clock::time_point end);

}  // namespace cddp

#endif  // COMMON_NET_TALK_H_
