#include "server/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/listen.h"

namespace cddp {
namespace {

// The pause before the next try if accept itself fails.
constexpr int kPauseMs = 100;

// Read each time, since it may be changed from outside (prlimit).
int64_t DescriptorLimit() {
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return std::numeric_limits<int>::max();
  return static_cast<int64_t>(files.rlim_cur);
}

std::string PeerOf(int fd) {
  SocketAddress peer;
  peer.length = sizeof(peer.storage);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.length) != 0) return "unknown";
  return absl::StrCat(peer.family() == AF_INET6 ? "ipv6:" : "ipv4:", peer.ToString());
}

}  // namespace

absl::Status CheckDescriptorLimit(uint32_t workers) {
  std::error_code error;
  const std::filesystem::directory_iterator open_now("/proc/self/fd", error);
  const int64_t open = error ? 0 : std::distance(begin(open_now), end(open_now));
  const int64_t needed = open + 2 * int64_t{workers} + kSpareDescriptors;
  if (const int64_t limit = DescriptorLimit(); limit < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat("this process may open ", limit, " files and connections, but --workers=", workers, " need ",
                     needed, " (two connections each): raise the limit (ulimit -n, LimitNOFILE= of systemd)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const HostPort& address, absl::Duration user_timeout,
                                                           Refused refused) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(user_timeout, std::move(refused)));
  absl::StatusOr<ListenSockets> sockets = ListenOn(address);
  if (!sockets.ok()) return sockets.status();
  acceptor->listeners_ = std::move(sockets->fds);
  acceptor->port_ = sockets->port;
  acceptor->end_ = eventfd(0, EFD_CLOEXEC);
  if (acceptor->end_ < 0) return absl::InternalError(absl::StrCat("eventfd: ", std::strerror(errno)));
  return acceptor;
}

Acceptor::~Acceptor() {
  Stop();
  if (end_ >= 0) close(end_);
}

void Acceptor::Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> grpc) {
  grpc_ = std::move(grpc);
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    (void)!write(end_, &one, sizeof(one));
    thread_.join();
  }
  for (const int listener : std::exchange(listeners_, {})) close(listener);
}

void Acceptor::Run() {
  std::vector<pollfd> watched = {{end_, POLLIN, 0}};
  for (const int listener : listeners_) watched.push_back({listener, POLLIN, 0});
  while (true) {
    if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;  // not with these arguments
    if (watched[0].revents != 0) return;
    for (size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents != 0) Accept(watched[i].fd);
    }
  }
}

void Acceptor::Accept(int listener) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    // A connection that went away meanwhile needs no handling. After any other error there is another try.
    if (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED) return;
    refused_("unknown", absl::StrCat("accept: ", std::strerror(errno)));
    pollfd end = {end_, POLLIN, 0};
    poll(&end, 1, kPauseMs);
    return;
  }
  // The kernel assigns the lowest free number, so at least that many are in use.
  if (const int64_t limit = DescriptorLimit(); fd >= limit - kSpareDescriptors) {
    refused_(PeerOf(fd), absl::StrCat("of ", limit, " descriptors (ulimit -n) only ", kSpareDescriptors,
                                      " are left, which are kept for files: close connections or raise the limit"));
    close(fd);
    return;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const int milliseconds = static_cast<int>(absl::ToInt64Milliseconds(user_timeout_));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.listener_fd = listener;
  connection.fd = fd;
  grpc_->HandleNewConnection(&connection);
}

}  // namespace cddp
