#include "common/net/listen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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

TEST(ListenTest, APortBelow1024NeedsARight) {
  if (geteuid() == 0) GTEST_SKIP() << "root may";
  EXPECT_THAT(Reason({"127.0.0.1", 81}), HasSubstr("needs root"));
}

}  // namespace
}  // namespace cddp
