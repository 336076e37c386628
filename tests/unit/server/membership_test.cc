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
  EXPECT_EQ(membership.Claim(1, 0).status().code(), absl::StatusCode::kUnavailable)
      << "Join would refuse it as too old";
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
