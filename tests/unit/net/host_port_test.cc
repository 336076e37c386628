#include "common/net/host_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cddp {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Refused(absl::string_view text, PortUse use = PortUse::kListen) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(text, use);
  EXPECT_TRUE(absl::IsInvalidArgument(parsed.status())) << text << ": " << parsed.status();
  return std::string(parsed.status().message());
}

TEST(HostPortTest, TakesNamesAndBothKindsOfNumbers) {
  for (const char* text : {"127.0.0.1:50051", "0.0.0.0:0", "localhost:1", "server-0.cddp_x:65535", "[::1]:50051",
                           "[::]:9464", "[fe80::1%eth0]:1", "[::ffff:127.0.0.1]:1"}) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(text, PortUse::kListen);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->ToString(), text);
  }
  EXPECT_EQ(ParseHostPort("[::1]:7", PortUse::kConnect)->host, "::1");
}

TEST(HostPortTest, SaysWhatIsWrongAndWhatToWrite) {
  EXPECT_EQ(Refused("127.0.0.1"), "'127.0.0.1' has no port: write 127.0.0.1:50051");
  EXPECT_EQ(Refused("server"), "'server' has no port: write server:50051");
  EXPECT_EQ(Refused("server:"), "'server:' has no port: write server:50051");
  EXPECT_EQ(Refused("[::1]"), "'[::1]' has no port: write [::1]:50051");
  EXPECT_THAT(Refused("::1:50051"), HasSubstr("stands in brackets before its port: write [::1]:50051"));
  EXPECT_THAT(Refused("fe80::1"), HasSubstr("brackets"));
  EXPECT_THAT(Refused("::"), HasSubstr("write [::]:50051"));
  EXPECT_THAT(Refused("2001:db8::a:b:c:d:50051"), HasSubstr("write [2001:db8::a:b:c:d]:50051"));
  EXPECT_THAT(Refused("a:1:2"), HasSubstr("more than one colon"));
  EXPECT_THAT(Refused(":50051"), HasSubstr("has no host: write 0.0.0.0:50051"));
  EXPECT_THAT(Refused("http://a:1"), HasSubstr("has a scheme, and addresses here have none: write a:1"));
  EXPECT_THAT(Refused("a b:1"), HasSubstr("no such characters"));
  EXPECT_THAT(Refused("300.1.1.1:1"), HasSubstr("not an IPv4 address"));
  EXPECT_THAT(Refused("10.0.1:1"), HasSubstr("not an IPv4 address"));
  EXPECT_THAT(Refused("[::1:50051"), HasSubstr("closing bracket"));
  EXPECT_THAT(Refused("[::1]50051"), HasSubstr("not an IPv6 address with a port"));
  EXPECT_THAT(Refused("[localhost]:1"), HasSubstr("not an IPv6 address"));
  EXPECT_THAT(Refused("a:65536"), HasSubstr("port '65536' is not a number from 0 to 65535"));
  EXPECT_THAT(Refused("a:-1"), HasSubstr("port '-1'"));
  EXPECT_THAT(Refused("a:http"), HasSubstr("port 'http'"));
  EXPECT_THAT(Refused("a:99999999999"), HasSubstr("port"));
  EXPECT_THAT(Refused("a:0", PortUse::kConnect), HasSubstr("port 0 means any free one"));
  EXPECT_THAT(Refused(""), HasSubstr("empty"));
}

TEST(ResolveTest, FindsNumbersAndNames) {
  EXPECT_EQ((*Resolve({"127.0.0.1", 5}, PortUse::kConnect))[0].ToString(), "127.0.0.1:5");
  EXPECT_EQ((*Resolve({"::1", 5}, PortUse::kConnect))[0].ToString(), "[::1]:5");
  const auto local = Resolve({"localhost", 5}, PortUse::kConnect);
  ASSERT_TRUE(local.ok()) << local.status();
  for (const SocketAddress& one : *local) EXPECT_TRUE(IsLoopback(one)) << one.ToString();
  EXPECT_FALSE(IsLoopback((*Resolve({"10.0.0.1", 5}, PortUse::kConnect))[0]));
  EXPECT_TRUE(IsLoopback((*Resolve({"::ffff:127.0.1.1", 5}, PortUse::kConnect))[0]));
  EXPECT_THAT(std::string(Resolve({"no-such-host.invalid", 5}, PortUse::kConnect).status().message()),
              HasSubstr("the host name 'no-such-host.invalid' has no address"));
}

TEST(LoopbackWarningTest, SpeaksOfNamesOnly) {
  EXPECT_THAT(LoopbackWarning({"127.0.0.1", 1}), IsEmpty());
  EXPECT_THAT(LoopbackWarning({"localhost", 1}), IsEmpty());
  EXPECT_THAT(LoopbackWarning({"no-such-host.invalid", 1}), IsEmpty());
  // glibc gives every name below localhost the loopback address, as /etc/hosts gives it to Debian's own host name.
  const HostPort own{"server.localhost", 1};
  if (!Resolve(own, PortUse::kConnect).ok()) GTEST_SKIP() << "no such name here";
  EXPECT_THAT(LoopbackWarning(own), HasSubstr("leads to"));
}

}  // namespace
}  // namespace cddp
