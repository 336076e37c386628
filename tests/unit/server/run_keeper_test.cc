#include "server/run_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/transport/status_marks.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr RunClaim kAny = RunClaim::kAny;
constexpr RunClaim kNamed = RunClaim::kNamed;
constexpr RunClaim kBegun = RunClaim::kBegun;

// Of worker 0, alone, before any weights.
absl::StatusOr<bool> Join(RunKeeper& keeper, const RunIdentity& joiner) {
  return keeper.Join(0, joiner, /*alone=*/true, /*has_begun=*/false);
}

void ExpectRefused(const absl::Status& status, const std::string& words) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(words));
}

// The worker tries again, over a new channel.
void ExpectWrongServer(const absl::Status& status, const std::string& words) {
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(status.GetPayload(kWrongServer).has_value());
  EXPECT_THAT(std::string(status.message()), HasSubstr(words));
}

TEST(RunKeeperTest, TheFirstThatNamesTheRunDecides) {
  RunKeeper keeper(/*begins_anew=*/false);
  EXPECT_EQ(keeper.name(), "");
  EXPECT_EQ(*Join(keeper, {}), false);
  EXPECT_EQ(*Join(keeper, {"a", kAny}), true);
  EXPECT_EQ(*Join(keeper, {"b", kAny}), false) << "a proposal comes too late";
  EXPECT_EQ(*Join(keeper, {"a", kNamed}), false);
  EXPECT_EQ(keeper.name(), "a");
  EXPECT_TRUE(keeper.CheckCall("a").ok());
  EXPECT_TRUE(keeper.CheckCall("").ok());
  ExpectWrongServer(keeper.CheckCall("b"), "the call is of run b, but this server holds run a");
}

TEST(RunKeeperTest, AnotherNameIsTakenBeforeTheRunBegins) {
  RunKeeper keeper(false);
  EXPECT_EQ(*Join(keeper, {"a", kAny}), true);
  ExpectRefused(keeper.Join(1, {"b", kNamed}, /*alone=*/false, /*has_begun=*/false).status(), "worker 1 is of run b");
  ExpectRefused(Join(keeper, {"b", kBegun}).status(), "holds run a");
  EXPECT_EQ(*Join(keeper, {"b", kNamed}), true);
  EXPECT_EQ(keeper.name(), "b");
  ExpectRefused(keeper.Join(0, {"c", kNamed}, /*alone=*/true, /*has_begun=*/true).status(), "holds run b");
}

TEST(RunKeeperTest, AServersOwnNameStays) {
  RunKeeper keeper(false);
  keeper.Set("a");
  ExpectRefused(Join(keeper, {"b", kNamed}).status(), "holds run a");
  EXPECT_EQ(*Join(keeper, {"b", kAny}), false);
}

TEST(RunKeeperTest, ANameByFlagIsNoState) {
  for (const bool by_call : {true, false}) {
    RunKeeper keeper(false);
    keeper.Set("a");
    ExpectRefused(by_call ? keeper.CallOfLostRun("a") : Join(keeper, {"a", kBegun}).status(),
                  "holds nothing but its name: it has lost its state");
    ExpectRefused(Join(keeper, {"a", kNamed}).status(), "workers of run a have come");
  }
  RunKeeper begins_anew(true);
  begins_anew.Set("a");
  EXPECT_FALSE(Join(begins_anew, {"a", kBegun}).ok());
  EXPECT_TRUE(Join(begins_anew, {"a", kNamed}).ok());
}

TEST(RunKeeperTest, AServerThatHasLostARunBeginsNone) {
  for (const bool by_call : {true, false}) {
    RunKeeper keeper(false);
    const absl::Status told = by_call ? keeper.CheckCall("a") : Join(keeper, {"a", kBegun}).status();
    ExpectRefused(told, "holds no run: it has lost its state");
    ExpectRefused(Join(keeper, {"b", kAny}).status(), "workers of run a have come");
    ExpectRefused(Join(keeper, {}).status(), "workers of run a have come");
    EXPECT_EQ(keeper.name(), "");
  }
}

// A worker that a loop started again may be there before those that remember.
TEST(RunKeeperTest, ARunThatWasJustNamedDoesNotBeginWhereAnotherWasLost) {
  RunKeeper keeper(false);
  EXPECT_EQ(*Join(keeper, {"b", kAny}), true);
  ExpectWrongServer(keeper.CheckCall("a"), "holds run b");
  ExpectRefused(keeper.Join(1, {"b", kNamed}, false, /*has_begun=*/false).status(), "workers of run a have come");
  // One that has begun does not mind strangers.
  EXPECT_EQ(*keeper.Join(1, {"b", kNamed}, false, /*has_begun=*/true), false);
}

TEST(RunKeeperTest, AFlagBeginsAnew) {
  RunKeeper keeper(/*begins_anew=*/true);
  ExpectRefused(keeper.CheckCall("a"), "lost its state");
  EXPECT_EQ(*Join(keeper, {"b", kAny}), true);
  ExpectRefused(Join(keeper, {"a", kBegun}).status(), "holds run b");
}

}  // namespace
}  // namespace cddp
