#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/transport/address.h"
#include "common/transport/layout_message.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(AddressTest, SplitsAndChecks) {
  EXPECT_THAT(*ParseAddresses("a:1, b:2"), ElementsAre("a:1", "b:2"));
  EXPECT_THAT(*ParseAddresses("dns:///server-0.cddp:50051"), ElementsAre("dns:///server-0.cddp:50051"));
  EXPECT_THAT(*ParseAddresses("dns://10.0.0.2:53/a:50051"), ElementsAre("dns://10.0.0.2:53/a:50051")) << "a DNS server";
  EXPECT_FALSE(ParseAddresses("dns://a:50051").ok());
  EXPECT_THAT(ParseAddresses("").status().message(), HasSubstr("no server address"));
  EXPECT_THAT(ParseAddresses("a").status().message(), HasSubstr("'a' has no port: write a:50051"));
  EXPECT_FALSE(ParseAddresses("a:0").ok());
  EXPECT_FALSE(ParseAddresses("a:65536").ok());
  EXPECT_FALSE(ParseAddresses(":1").ok());
  EXPECT_THAT(ParseAddresses("a:1,a:1").status().message(), HasSubstr("twice"));
  EXPECT_THAT(*ParseAddresses("dns:///s-{3}.cddp:1, b:2"),
              ElementsAre("dns:///s-0.cddp:1", "dns:///s-1.cddp:1", "dns:///s-2.cddp:1", "b:2"));
  EXPECT_THAT(*ParseAddresses("127.0.0.1:500{2}"), ElementsAre("127.0.0.1:5000", "127.0.0.1:5001"));
  EXPECT_THAT(ParseAddresses("a-{2}:1,a-1:1").status().message(), HasSubstr("'a-1:1' is given twice"));
  for (const char* bad : {"a-{0}:1", "a-{}:1", "a-{-1}:1", "a-{x}:1", "a-{2:1", "a-2}:1", "a-}2{:1", "a-{2}{2}:1",
                          "a-{10001}:1", "a-{99999999999}:1"}) {
    EXPECT_THAT(ParseAddresses(bad).status().message(), HasSubstr("{N}")) << bad;
  }
  EXPECT_EQ(HostOf("127.0.0.1:50051"), "127.0.0.1");
}

TEST(AddressTest, LoopbackIsWhatOtherMachinesCannotReach) {
  for (const char* inside : {"127.0.0.1:1", "127.9.9.9:0", "localhost:1", "[::1]:1", "unix:/tmp/socket"}) {
    EXPECT_TRUE(IsLoopback(inside)) << inside;
  }
  for (const char* outside : {"0.0.0.0:1", "10.0.0.1:1", "[::]:1", "host:1", "127.0.0.1.evil.org:1", "127.1:1", ":1",
                              "localhost.evil.org:1", "dns:///localhost:1", ""}) {
    EXPECT_FALSE(IsLoopback(outside)) << outside;
  }
  EXPECT_EQ(LocalAddressOf("0.0.0.0:50051"), "127.0.0.1:50051");
  EXPECT_EQ(LocalAddressOf("[::]:50051"), "[::1]:50051");
  EXPECT_EQ(LocalAddressOf("10.0.0.1:50051"), "10.0.0.1:50051");
}

TEST(AddressTest, IsCheckedForItsFlag) {
  EXPECT_TRUE(CheckAddress("--listen", "[::]:0", PortUse::kListen).ok());
  EXPECT_TRUE(CheckAddress("--listen", "unix:/tmp/socket", PortUse::kListen).ok());
  EXPECT_TRUE(CheckAddress("--servers", "ipv6:[::1]:5", PortUse::kConnect).ok());
  EXPECT_EQ(CheckAddress("--listen", "127.0.0.1", PortUse::kListen).message(),
            "--listen: '127.0.0.1' has no port: write 127.0.0.1:50051");
  EXPECT_THAT(CheckAddress("--healthcheck", "a:0", PortUse::kConnect).message(), HasSubstr("port 0"));
  EXPECT_THAT(ParseAddresses("::1:50051").status().message(), HasSubstr("write [::1]:50051"));
}

TEST(AddressTest, LoopbackAmongOthersIsSaid) {
  EXPECT_EQ(LoopbackAmongOthers({"localhost:1", "127.0.0.1:2"}), "");
  EXPECT_EQ(LoopbackAmongOthers({"a:1", "10.0.0.1:2"}), "");
  EXPECT_THAT(LoopbackAmongOthers({"10.0.0.1:2", "localhost:1"}), HasSubstr("localhost:1 is this machine alone"));
  EXPECT_THAT(LoopbackAmongOthers({"a:1", "[::1]:1"}), HasSubstr("[::1]:1"));
}

TEST(LayoutMessageTest, RoundTripsAndRefusesAForeignFingerprint) {
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {3, 4}}, {"s", {}}}, 5);
  v1::Layout message = ToMessage(layout);
  const absl::StatusOr<ParameterLayout> back = FromMessage(message);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->DescribeDifference(layout), "");
  message.set_fingerprint(message.fingerprint() + 1);
  EXPECT_FALSE(FromMessage(message).ok());
  message = ToMessage(layout);
  message.set_bucket_elements(0);
  EXPECT_FALSE(FromMessage(message).ok());
}

TEST(StatusTest, CodesAndMessagesCross) {
  const absl::Status status = absl::FailedPreconditionError("why");
  EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(IsRetryable(ToGrpc(absl::UnavailableError(""))));
  EXPECT_TRUE(IsRetryable(ToGrpc(absl::CancelledError(""))));
  EXPECT_TRUE(IsRetryable(ToGrpc(absl::ResourceExhaustedError(""))));
  EXPECT_FALSE(IsRetryable(ToGrpc(absl::InvalidArgumentError(""))));
}

}  // namespace
}  // namespace cddp
