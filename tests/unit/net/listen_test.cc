#include "common/net/listen.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace cddp {
namespace {

using ::testing::HasSubstr;

// Why it cannot be listened on; empty if it can.
std::string Reason(const HostPort& address) {
  const absl::StatusOr<ListenSockets> sockets = ListenOn(address);
  if (!sockets.ok()) return std::string(sockets.status().message());
  EXPECT_NE(sockets->port, 0);
  for (const int fd : sockets->fds) close(fd);
  return "";
}

TEST(ListenTest, SaysInOneLineWhyNot) {
  EXPECT_EQ(Reason({"127.0.0.1", 0}), "");
  EXPECT_EQ(Reason({"localhost", 0}), "");
  EXPECT_EQ(Reason({"0.0.0.0", 0}), "");
  EXPECT_THAT(Reason({"192.0.2.1", 0}), HasSubstr("no network interface of this machine"));
  EXPECT_THAT(Reason({"no-such-host.invalid", 0}), HasSubstr("has no address"));

  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in taken = {};
  taken.sin_family = AF_INET;
  taken.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&taken), sizeof(taken)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  socklen_t length = sizeof(taken);
  getsockname(fd, reinterpret_cast<sockaddr*>(&taken), &length);
  EXPECT_EQ(Reason({"127.0.0.1", ntohs(taken.sin_port)}), "another process listens on this port");
  EXPECT_EQ(Reason({"0.0.0.0", ntohs(taken.sin_port)}), "another process listens on this port");
  close(fd);
  EXPECT_EQ(Reason({"127.0.0.1", ntohs(taken.sin_port)}), "");
}

// 127.0.0.1 and ::1 of a name: two attempts find the first one's port taken at the second.
TEST(ListenTest, TriesOtherPortsWhereOneOfAnAddressIsTaken) {
  const absl::StatusOr<std::vector<SocketAddress>> own = Resolve({"127.0.0.1", 0}, PortUse::kListen);
  ASSERT_TRUE(own.ok());
  const std::vector<SocketAddress> addresses = {own->front(), own->front()};
  int calls = 0;
  const auto bind = [&](const SocketAddress& address) {
    if (++calls % 2 == 0 && calls < 6) {
      errno = EADDRINUSE;
      return -1;
    }
    const int fd = socket(address.family(), SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    EXPECT_EQ(::bind(fd, address.get(), address.length), 0);
    return fd;
  };
  const absl::StatusOr<ListenSockets> sockets = BindAll(addresses, 0, bind);
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_EQ(sockets->fds.size(), 2);
  EXPECT_EQ(calls, 6);
  for (const int fd : sockets->fds) close(fd);

  calls = 0;
  EXPECT_FALSE(BindAll(addresses, sockets->port, bind).ok()) << "a port that was asked for is not replaced";
  EXPECT_EQ(calls, 2);
}

TEST(ListenTest, APortBelow1024NeedsARight) {
  if (geteuid() == 0) GTEST_SKIP() << "root may";
  EXPECT_THAT(Reason({"127.0.0.1", 81}), HasSubstr("needs root"));
}

}  // namespace
}  // namespace cddp
