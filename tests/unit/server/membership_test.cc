#include "server/membership.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

TEST(MembershipTest, TheNewerProcessHoldsTheRank) {
  Membership membership(2, absl::Seconds(10));
  EXPECT_TRUE(*membership.Join(0, 100));
  EXPECT_FALSE(*membership.Join(0, 100)) << "a retried Join";
  EXPECT_TRUE(membership.Touch(0, 100).ok());
  EXPECT_TRUE(*membership.Join(0, 200));
  EXPECT_EQ(membership.Touch(0, 100).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(membership.Join(0, 150).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(membership.Touch(0, 200).ok());
}

TEST(MembershipTest, RefusesStrangers) {
  Membership membership(2, absl::Seconds(10));
  EXPECT_EQ(membership.Join(2, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(membership.Touch(1, 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(membership.Heartbeat(1, 1, 0, 0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(membership.Leave(1, 1, true).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(MembershipTest, SilenceBeyondTheLeaseIsLost) {
  Membership membership(2, absl::ZeroDuration());
  ASSERT_TRUE(membership.Join(0, 1).ok());
  ASSERT_TRUE(membership.Join(1, 1).ok());
  ASSERT_TRUE(membership.Leave(1, 1, /*finished=*/true).ok());
  const std::vector<Member> members = membership.members();
  ASSERT_EQ(members.size(), 2u);
  EXPECT_TRUE(members[0].lost);
  EXPECT_FALSE(members[1].lost) << "who has finished is not lost";
  EXPECT_EQ(members[1].state, MemberState::kFinished);
  EXPECT_EQ(membership.TakeNewlyLost(), std::vector<uint32_t>{0});
  EXPECT_TRUE(membership.TakeNewlyLost().empty()) << "told once";
  ASSERT_TRUE(membership.Touch(0, 1).ok());
  EXPECT_EQ(membership.TakeNewlyLost(), std::vector<uint32_t>{0}) << "heard of, and lost again";
}

// A membership with a clock that the test sets, and looks at every half second, as a server does.
class MembershipClockTest : public ::testing::Test {
 protected:
  void Pass(absl::Duration time) {
    for (const absl::Duration end = clock_ + time; clock_ < end;) {
      clock_ += absl::Milliseconds(500);
      for (uint32_t rank : membership_.TakeNewlyLost()) lost_.push_back(rank);
    }
  }

  absl::Duration clock_ = absl::Hours(1);
  Membership membership_{2, absl::Seconds(10), [this] { return clock_; }};
  std::vector<uint32_t> lost_;
};

TEST_F(MembershipClockTest, WhoIsSilentForLongerThanTheLeaseIsLost) {
  ASSERT_TRUE(membership_.Join(0, 1).ok());
  ASSERT_TRUE(membership_.Join(1, 1).ok());
  Pass(absl::Seconds(9));
  ASSERT_TRUE(membership_.Touch(1, 1).ok());
  EXPECT_EQ(lost_, std::vector<uint32_t>{});
  Pass(absl::Seconds(2));
  EXPECT_EQ(lost_, std::vector<uint32_t>{0});
  EXPECT_EQ(membership_.members().front().silent, absl::Seconds(11));
}

TEST_F(MembershipClockTest, WhenTheServerStoodStillNobodyIsLostForIt) {
  ASSERT_TRUE(membership_.Join(0, 1).ok());
  Pass(absl::Seconds(5));
  clock_ += absl::Hours(1);
  EXPECT_FALSE(membership_.members().front().lost);
  EXPECT_EQ(membership_.Claim(2, 0).value(), 1u) << "rank 0 is held";
  Pass(absl::Seconds(3));
  EXPECT_EQ(lost_, std::vector<uint32_t>{});
  Pass(absl::Seconds(3));
  EXPECT_EQ(lost_, std::vector<uint32_t>{0}) << "silent while the server listened, too";
}

TEST_F(MembershipClockTest, AfterAClockWasSetBackANewProcessGetsItsRankOnceTheLastHolderIsGone) {
  ASSERT_TRUE(membership_.Join(0, 1000).ok());
  const absl::Status early = membership_.Join(0, 400).status();
  EXPECT_EQ(early.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(early.message().find("after the lease"), std::string::npos) << early;
  Pass(absl::Seconds(11));
  EXPECT_TRUE(membership_.Join(0, 400).value_or(false));
  EXPECT_TRUE(membership_.Touch(0, 400).ok());
  EXPECT_EQ(membership_.Touch(0, 1000).code(), absl::StatusCode::kFailedPrecondition) << "replaced";

  ASSERT_TRUE(membership_.Leave(0, 400, /*finished=*/false).ok());
  EXPECT_TRUE(membership_.Join(0, 300).value_or(false)) << "who has left is gone at once";
  ASSERT_TRUE(membership_.Leave(0, 300, /*finished=*/true).ok());
  EXPECT_FALSE(membership_.Join(0, 200).ok()) << "who has finished holds its rank";
}

TEST(MembershipTest, AllHaveFinishedOnceTheLastHas) {
  Membership membership(2, absl::Seconds(10));
  EXPECT_FALSE(membership.AllFinished());
  ASSERT_TRUE(membership.Join(0, 1).ok());
  ASSERT_TRUE(membership.Leave(0, 1, /*finished=*/true).ok());
  EXPECT_FALSE(membership.AllFinished()) << "rank 1 has never been there";
  ASSERT_TRUE(membership.Join(1, 1).ok());
  EXPECT_FALSE(membership.AllFinished());
  ASSERT_TRUE(membership.Leave(1, 1, /*finished=*/false).ok());
  EXPECT_FALSE(membership.AllFinished()) << "rank 1 gave up";
  ASSERT_TRUE(membership.Join(1, 2).ok());
  ASSERT_TRUE(membership.Leave(1, 2, /*finished=*/true).ok());
  EXPECT_TRUE(membership.AllFinished());
  ASSERT_TRUE(membership.Join(0, 2).ok());
  EXPECT_FALSE(membership.AllFinished()) << "a new process has taken rank 0";
}

TEST(MembershipTest, GivesEachProcessTheSmallestRankThatNobodyHolds) {
  Membership membership(3, absl::Seconds(10));
  ASSERT_TRUE(membership.Join(1, 50).ok());
  EXPECT_EQ(*membership.Claim(100, 1), 0u);
  EXPECT_EQ(*membership.Claim(100, 1), 0u) << "a retry";
  EXPECT_EQ(*membership.Claim(100, 2), 2u) << "another process that started in the same microsecond";
  const absl::Status full = membership.Claim(101, 3).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(full.message().find("all 3 ranks are taken"), std::string::npos) << full;
  ASSERT_TRUE(membership.Join(0, 100).ok());
  EXPECT_EQ(*membership.Claim(100, 1), 0u) << "still its own after it has joined";
}

TEST(MembershipTest, WhoGaveUpFreesItsRankAndWhoHasFinishedDoesNot) {
  Membership membership(2, absl::Seconds(10));
  ASSERT_TRUE(membership.Join(0, 1).ok());
  ASSERT_TRUE(membership.Join(1, 1).ok());
  ASSERT_TRUE(membership.Leave(0, 1, /*finished=*/true).ok());
  EXPECT_EQ(membership.Claim(2, 0).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(membership.Leave(1, 1, /*finished=*/false).ok());
  EXPECT_EQ(membership.Claim(1, 0).status().code(), absl::StatusCode::kUnavailable) << "it is the one that gave up";
  EXPECT_EQ(*membership.Claim(2, 0), 1u);
  ASSERT_TRUE(membership.Join(1, 2).ok());
  ASSERT_TRUE(membership.Leave(1, 2, /*finished=*/true).ok());
  EXPECT_EQ(membership.Claim(3, 0).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(MembershipTest, ALostWorkersRankIsFreeAndItsSuccessorsClaimHolds) {
  Membership membership(2, absl::ZeroDuration());
  ASSERT_TRUE(membership.Join(0, 1).ok());
  EXPECT_EQ(*membership.Claim(2, 0), 0u) << "silent for longer than the lease";
  EXPECT_EQ(*membership.Claim(3, 0), 1u) << "a claim that ran out is given on last: its process may only be slow";
  EXPECT_EQ(*membership.Claim(2, 0), 0u);
  EXPECT_EQ(*membership.Claim(4, 0), 0u) << "it is given on when nothing else is left";
}

TEST(MembershipTest, CountsTrafficAndProgress) {
  Membership membership(1, absl::Seconds(10));
  ASSERT_TRUE(membership.Join(0, 1).ok());
  membership.NoteContribution(0, 5, 100);
  membership.NoteContribution(0, 4, 10);
  membership.NoteAnswer(0, 7);
  ASSERT_TRUE(membership.Heartbeat(0, 1, 3, 0.5).ok());
  const Member member = membership.members().front();
  EXPECT_EQ(member.step, 5u);
  EXPECT_EQ(member.received_bytes, 110u);
  EXPECT_EQ(member.sent_bytes, 7u);
  EXPECT_EQ(member.loss, 0.5);
}

}  // namespace
}  // namespace cddp
