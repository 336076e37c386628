#include "server/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::StartsWith;

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

TEST(MembershipTest, AProcessCatchesUpAtMostOnceBeforeItContributes) {
  Membership membership(2, absl::Seconds(10));
  EXPECT_FALSE(membership.BeginCatchUp(0, 1).ok()) << "it has not joined";
  ASSERT_TRUE(membership.Join(0, 1).ok());
  EXPECT_TRUE(*membership.BeginCatchUp(0, 1));
  EXPECT_FALSE(*membership.BeginCatchUp(0, 1)) << "it is at it";
  EXPECT_FALSE(*membership.TouchContributor(0, 1)) << "first EndCatchUp";
  membership.NoteRead(0, 1, 30);
  membership.NoteRead(0, 2, 30);  // of another process
  EXPECT_TRUE(membership.IsCatchingUp(0));
  membership.EndCatchUp(0);
  EXPECT_TRUE(*membership.TouchContributor(0, 1));
  EXPECT_FALSE(*membership.BeginCatchUp(0, 1)) << "a reading that comes late";
  membership.NoteRead(0, 1, 30);
  EXPECT_EQ(membership.members()[0].read_bytes, 30u);
  EXPECT_FALSE(membership.TouchContributor(0, 2).ok());
  // A new process begins anew; one that a journal names contributes.
  ASSERT_TRUE(membership.Join(0, 2).ok());
  EXPECT_TRUE(*membership.BeginCatchUp(0, 2));
  membership.Restore(1, 5, MemberState::kJoined, 9);
  EXPECT_FALSE(*membership.BeginCatchUp(1, 5));
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

TEST(MembershipTest, EachChangeOfTheListRaisesTheViewByOne) {
  Membership membership(3, absl::ZeroDuration());
  EXPECT_EQ(membership.view(), 0u);
  ASSERT_TRUE(membership.Join(0, 1).ok());
  ASSERT_TRUE(membership.Join(0, 1).ok()) << "a retry, no change";
  ASSERT_TRUE(membership.Join(1, 1).ok());
  ASSERT_TRUE(membership.Join(2, 1).ok());
  ASSERT_TRUE(membership.Leave(2, 1, /*finished=*/true).ok());
  ASSERT_TRUE(membership.Leave(2, 1, /*finished=*/true).ok()) << "likewise";
  ASSERT_EQ(membership.TakeNewlyLost(), (std::vector<uint32_t>{0, 1}));
  ASSERT_TRUE(membership.Touch(1, 1).ok());
  ASSERT_TRUE(membership.Touch(1, 1).ok()) << "likewise";
  ASSERT_TRUE(membership.Join(0, 1).ok()) << "back by a Join";
  ASSERT_TRUE(membership.Join(1, 2).ok()) << "another process";
  EXPECT_FALSE(membership.Leave(1, 1, /*finished=*/false).ok());
  ASSERT_TRUE(membership.Leave(1, 2, /*finished=*/false).ok());
  std::vector<std::string> changes;
  for (const MemberChange& change : membership.TakeChanges()) {
    changes.push_back(absl::StrCat(change.view, ": ", change.rank, " of ", change.incarnation, " ",
                                   MemberStateName(change.state), ", then ", change.workers));
  }
  EXPECT_THAT(changes, ElementsAre("1: 0 of 1 joined, then 0", "2: 1 of 1 joined, then 0-1",  //
                                   "3: 2 of 1 joined, then 0-2", "4: 2 of 1 finished, then 0-1",
                                   "5: 0 of 1 lost, then 1", "6: 1 of 1 lost, then ",  //
                                   "7: 1 of 1 joined, then 1", "8: 0 of 1 joined, then 0-1",
                                   "9: 1 of 2 joined, then 0-1", "10: 1 of 2 left, then 0"));
  EXPECT_EQ(membership.view(), 10u);
  EXPECT_TRUE(membership.TakeChanges().empty());
}

TEST(MembershipTest, AProcessMayHaveAnyIncarnation) {
  Membership membership(1, absl::Seconds(10));
  EXPECT_TRUE(*membership.Join(0, 0));
  EXPECT_EQ(membership.view(), 1u);
  EXPECT_FALSE(*membership.Join(0, 0));
}

TEST(MembershipTest, AListOfManyRunsIsCutOff) {
  Membership membership(1000, absl::Seconds(10));
  for (uint32_t rank = 0; rank < 1000; rank += 2) ASSERT_TRUE(membership.Join(rank, 1).ok());
  const std::string workers = membership.TakeChanges().back().workers;
  EXPECT_THAT(workers, StartsWith("0,2,4,"));
  EXPECT_THAT(workers, EndsWith(",38,..."));
}

TEST(MembershipTest, WhatAJournalSaysIsNoChangeAndOlderNewsAreNone) {
  Membership membership(3, absl::Seconds(10));
  // A snapshot of view 5, then events that it knew of already, and a new one.
  membership.Restore(0, 1, MemberState::kJoined, 1);
  membership.Restore(1, 1, MemberState::kLost, 5);
  membership.Restore(2, 1, MemberState::kJoined, 3);
  membership.Restore(1, 1, MemberState::kJoined, 4);
  EXPECT_EQ(membership.view(), 5u);
  membership.Restore(2, 1, MemberState::kFinished, 6);
  EXPECT_EQ(membership.view(), 6u);
  EXPECT_TRUE(membership.TakeChanges().empty());
  EXPECT_TRUE(membership.members()[1].lost) << "as it was before the restart";
  EXPECT_TRUE(membership.TakeNewlyLost().empty());
  EXPECT_EQ(membership.members()[2].state, MemberState::kFinished);
  ASSERT_TRUE(membership.Touch(1, 1).ok());
  EXPECT_EQ(membership.view(), 7u);
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
  membership.NoteContribution(0, 5, 100, 4);
  membership.NoteContribution(0, 4, 10, 3);
  ASSERT_TRUE(membership.Heartbeat(0, 1, 3, 0.5).ok());
  const Member member = membership.members().front();
  EXPECT_EQ(member.step, 5u);
  EXPECT_EQ(member.received_bytes, 110u);
  EXPECT_EQ(member.sent_bytes, 7u);
  EXPECT_EQ(member.loss, 0.5);
}

}  // namespace
}  // namespace cddp
