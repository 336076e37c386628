#include "server/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr char kHost[] = "ipv4:10.0.0.1:4711";
constexpr char kSameHost[] = "ipv4:10.0.0.1:4712";
constexpr char kOtherHost[] = "ipv6:[fd00::1]:4711";
constexpr uint64_t kLimit = 1 << 20;

class LimitsTest : public ::testing::Test {
 protected:
  struct Request {
    std::unique_ptr<Limits::Call> call;
    Limits::Held bytes;
  };
  // A call with a request of `bytes` for `bucket`, which lasts as long as the object; nullopt if it was refused.
  std::optional<Request> Hold(uint32_t bucket, uint64_t bytes) {
    auto call = std::make_unique<Limits::Call>(&limits());
    EXPECT_TRUE(call->Begin(kHost).ok());
    absl::StatusOr<Limits::Held> held = call->Hold(bucket, bytes);
    if (!held.ok()) return std::nullopt;
    return Request{std::move(call), *std::move(held)};
  }
  Limits& limits() {
    if (!limits_.has_value()) limits_.emplace(options_, &registry_, "0", &refusals_);
    return *limits_;
  }

  prometheus::Registry registry_;
  Refusals refusals_{&registry_, "0"};
  LimitOptions options_ = {kLimit, 3, 0};
  std::optional<Limits> limits_;
};

TEST_F(LimitsTest, BytesAreBoundedAndFreeWhenTheyAreNotHeld) {
  auto first = Hold(7, kLimit / 2);
  ASSERT_NE(first, std::nullopt);
  EXPECT_EQ(limits().inflight_bytes(), kLimit / 2);
  EXPECT_EQ(Hold(8, 1), std::nullopt);
  EXPECT_EQ(refusals_.count(Refusal::kTooManyBytes), 1u);
  first->bytes = {};
  first->call->Answered(10);
  EXPECT_EQ(limits().inflight_bytes(), 0u);
  EXPECT_EQ(limits().unread_bytes(), 10u);
  EXPECT_NE(Hold(8, 1), std::nullopt);
  first.reset();
  EXPECT_EQ(limits().unread_bytes(), 0u);
}

// Without room kept for them, the calls that the rounds wait for would be refused for ever.
TEST_F(LimitsTest, WhatHasWaitedLongestFindsRoom) {
  options_.max_calls_per_peer = 100;
  auto oldest = Hold(7, 1000);
  auto next = Hold(8, kLimit / 2 - 1000);
  EXPECT_EQ(Hold(8, 1000), std::nullopt);
  auto completes = Hold(7, kLimit / 2 - 1000);
  EXPECT_NE(completes, std::nullopt);
  EXPECT_EQ(Hold(7, 2000), std::nullopt) << "more than all";
  oldest.reset();
  completes.reset();
  EXPECT_NE(Hold(8, 1000), std::nullopt) << "now this bucket has waited longest";
}

TEST_F(LimitsTest, ARoundThatDoesNotFitIsRefusedBeforeItBegins) {
  EXPECT_TRUE(limits().CheckRound(4, 16384).ok());
  EXPECT_THAT(limits().CheckRound(4, 65536).message(), HasSubstr("--max_inflight_bytes=1048576"));
}

TEST_F(LimitsTest, CallsAreBoundedForEachHost) {
  std::vector<std::unique_ptr<Limits::Call>> calls;
  for (const char* peer : {kHost, kSameHost, kHost}) {
    calls.push_back(std::make_unique<Limits::Call>(&limits()));
    ASSERT_TRUE(calls.back()->Begin(peer).ok());
  }
  Limits::Call more(&limits());
  EXPECT_TRUE(absl::IsResourceExhausted(more.Begin(kSameHost)));
  EXPECT_EQ(refusals_.count(Refusal::kTooManyCalls), 1u);
  Limits::Call other(&limits());
  EXPECT_TRUE(other.Begin(kOtherHost).ok());
  calls.pop_back();
  EXPECT_TRUE(more.Begin(kSameHost).ok()) << "a call that was refused holds nothing";
}

TEST_F(LimitsTest, AHostThatDoesNotReadItsAnswersIsRefused) {
  Limits::Call unread(&limits());
  ASSERT_TRUE(unread.Begin(kHost).ok());
  unread.Answered(kLimit + 1);
  Limits::Call more(&limits());
  EXPECT_TRUE(absl::IsResourceExhausted(more.Begin(kSameHost)));
  EXPECT_EQ(refusals_.count(Refusal::kUnreadAnswers), 1u);
  Limits::Call other(&limits());
  EXPECT_TRUE(other.Begin(kOtherHost).ok());
}

TEST_F(LimitsTest, TheRateOfAHostIsBounded) {
  options_.max_rate_per_peer = 1000;
  const absl::Time begin = absl::Now();
  uint64_t taken = 0;
  while (absl::Now() - begin < absl::Milliseconds(200)) taken += limits().TakeTurn(taken % 2 ? kHost : kSameHost).ok();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  EXPECT_GE(taken, 1000u) << "a second's calls may come at once";
  EXPECT_LE(static_cast<double>(taken), 1000 * (1 + seconds) + 1);
  EXPECT_GT(refusals_.count(Refusal::kTooFast), 0u);
  EXPECT_TRUE(limits().TakeTurn(kOtherHost).ok());
}

TEST_F(LimitsTest, WaitsForCallsButNotForThoseOfPeersThatWentAway) {
  EXPECT_TRUE(limits().WaitForCalls(absl::ZeroDuration()));
  auto waits = Hold(1, 10);
  auto gone = Hold(1, 10);
  gone->call->Abandoned();
  EXPECT_FALSE(limits().WaitForCalls(absl::ZeroDuration()));
  std::thread answers([&] { waits.reset(); });
  EXPECT_TRUE(limits().WaitForCalls(absl::Seconds(60)));
  answers.join();
}

TEST_F(LimitsTest, FlagsThatMakeNoSenseAreNamed) {
  EXPECT_TRUE(Validate(LimitOptions{}).ok());
  EXPECT_THAT(Validate(LimitOptions{10, 1, 0}).message(), HasSubstr("--max_inflight_bytes=10"));
  EXPECT_THAT(Validate(LimitOptions{kLimit, 0, 0}).message(), HasSubstr("--max_calls_per_peer"));
  EXPECT_THAT(Validate(LimitOptions{kLimit, 1, -1}).message(), HasSubstr("--max_rate_per_peer=-1"));
}

TEST(RefusalsTest, APeersHostIsItsAddressWithoutThePort) {
  EXPECT_EQ(HostOfPeer("ipv4:10.0.0.1:4711"), "ipv4:10.0.0.1");
  EXPECT_EQ(HostOfPeer("ipv4:10.0.0.1"), "ipv4:10.0.0.1");
  EXPECT_EQ(HostOfPeer("ipv6:%5Bfd00::1%5D:4711"), "ipv6:%5Bfd00::1%5D");
  EXPECT_EQ(HostOfPeer("ipv6:%5Bfd00::1%5D"), "ipv6:%5Bfd00::1%5D");
  EXPECT_EQ(HostOfPeer("unix:/tmp/socket"), "unix:/tmp/socket");
}

}  // namespace
}  // namespace cddp
