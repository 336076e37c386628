#include "tests/fault/tcp_proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace cddp {
namespace {

constexpr size_t kPieceBytes = 700;  // so that a cut falls into a message more often than between two

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

uint16_t PortOf(const std::string& address) {
  uint32_t port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  return static_cast<uint16_t>(port);
}

int Socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_GE(fd, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

bool SendAll(int to, const char* bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    const ssize_t sent = send(to, bytes + done, count - done, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    done += static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

TcpProxy::TcpProxy(const std::string& target, absl::Duration delay) : target_port_(PortOf(target)), delay_(delay) {
  Listen(0);
  address_ = absl::StrCat("127.0.0.1:", port_);
}

TcpProxy::~TcpProxy() {
  Refuse();
  Cut();
  std::vector<std::thread> carriers;
  {
    MutexLock lock(mutex_);
    carriers.swap(carriers_);
  }
  for (std::thread& carrier : carriers) carrier.join();
  for (const Link& link : links_) {
    close(link.client);
    close(link.server);
  }
}

void TcpProxy::Listen(uint16_t port) {
  listener_ = Socket();
  sockaddr_in address = Loopback(port);
  ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0) << strerror(errno);
  ASSERT_EQ(listen(listener_, 64), 0);
  socklen_t length = sizeof(address);
  ASSERT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length), 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this, listener = listener_] { AcceptLoop(listener); });
}

void TcpProxy::Refuse() {
  if (listener_ < 0) return;
  shutdown(listener_, SHUT_RDWR);  // ends its accept
  acceptor_.join();
  close(listener_);
  listener_ = -1;
}

void TcpProxy::Accept() { Listen(port_); }

void TcpProxy::Lead(const std::string& target) { target_port_ = PortOf(target); }

void TcpProxy::AcceptLoop(int listener) {
  while (true) {
    const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    Connect(client);
  }
}

void TcpProxy::Connect(int client) {
  const int server = Socket();
  const sockaddr_in target = Loopback(target_port_);
  if (connect(server, reinterpret_cast<const sockaddr*>(&target), sizeof(target)) != 0) {
    close(server);
    close(client);
    return;
  }
  const int on = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  MutexLock lock(mutex_);
  links_.push_back({client, server});
  const bool late = delay_ > absl::ZeroDuration();
  for (const auto& [from, to] : {std::pair{client, server}, std::pair{server, client}}) {
    carriers_.emplace_back([=, this, from = from, to = to] { late ? CarryLate(from, to) : Carry(from, to); });
  }
}

void TcpProxy::CarryLate(int from, int to) {
  struct Piece {
    std::string bytes;
    absl::Time due;
  };
  absl::Mutex mutex;
  std::deque<Piece> under_way;
  std::thread deliverer([&] {
    while (true) {
      mutex.LockWhen(absl::Condition(
          +[](std::deque<Piece>* pieces) { return !pieces->empty(); }, &under_way));
      const Piece piece = std::move(under_way.front());
      under_way.pop_front();
      mutex.Unlock();
      absl::SleepFor(piece.due - absl::Now());
      if (piece.bytes.empty() || !SendAll(to, piece.bytes.data(), piece.bytes.size())) break;
    }
    shutdown(to, SHUT_RDWR);
    shutdown(from, SHUT_RDWR);
  });
  std::array<char, kPieceBytes> piece;
  for (ssize_t got = 1; got > 0;) {
    got = recv(from, piece.data(), piece.size(), 0);
    const size_t size = got > 0 ? static_cast<size_t>(got) : 0;
    absl::MutexLock lock(&mutex);
    under_way.push_back({std::string(piece.data(), size), absl::Now() + delay_});  // an empty one is the end
  }
  deliverer.join();
}

void TcpProxy::Carry(int from, int to) {
  std::array<char, kPieceBytes> piece;
  while (true) {
    const ssize_t got = recv(from, piece.data(), piece.size(), 0);
    if (got <= 0) break;
    if (!SendAll(to, piece.data(), static_cast<size_t>(got))) break;
  }
  // One end is gone: the other shall see it.
  shutdown(to, SHUT_RDWR);
  shutdown(from, SHUT_RDWR);
}

int TcpProxy::Cut() {
  MutexLock lock(mutex_);
  const int count = static_cast<int>(links_.size() - cut_);
  for (; cut_ < links_.size(); ++cut_) {
    shutdown(links_[cut_].client, SHUT_RDWR);
    shutdown(links_[cut_].server, SHUT_RDWR);
  }
  return count;
}

}  // namespace cddp
