// Snapshots while training goes on: nothing is lost or counted twice.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/server/shard_training.h"

namespace cddp {
namespace {

TEST(ShardSnapshotTest, SnapshotsTakeThePlaceOfTheJournalBeforeThem) {
  FaultyFiles files;
  Training training(&files, {});
  ASSERT_TRUE(training.Start().ok());
  ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files.contents()) names.push_back(name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("lock", "checkpoint-6", "journal-4", "snapshot-4"));
}

TEST(ShardSnapshotTest, ASnapshotThatCannotBeWrittenLeavesTrainingGoingOn) {
  const std::map<uint64_t, uint32_t> calm = Calm({});
  FaultyFiles probe;
  uint64_t calls = 0;  // of one snapshot
  {
    Training training(&probe, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(3).ok());
    const uint64_t before = probe.calls();
    ASSERT_TRUE(training.shard().WriteSnapshot().ok());
    calls = probe.calls() - before;
  }
  uint64_t failures = 0;
  for (uint64_t call = 0; call < calls; ++call) {
    FaultyFiles files;
    {
      Training training(&files, {});
      ASSERT_TRUE(training.Start().ok());
      ASSERT_TRUE(training.TrainUntil(3).ok());
      files.FailOnce(call, absl::ResourceExhaustedError("the disk is full"));
      failures += !training.shard().WriteSnapshot().ok();
      ASSERT_TRUE(training.TrainUntil(kSteps).ok()) << "call " << call;
      EXPECT_EQ(training.shard().Checksum(), calm.at(kSteps));
    }
    Training again(&files, {});
    ASSERT_TRUE(again.Start().ok()) << "call " << call;
    EXPECT_EQ(again.shard().Checksum(), calm.at(kSteps)) << "call " << call;
  }
  EXPECT_GT(failures, calls / 2);
}

// What happens between the cut of the journal and the moment when a bucket is saved is in both.
TEST(ShardSnapshotTest, EventsWhileASnapshotIsMadeCountOnce) {
  FaultyFiles files;
  uint32_t expected = 0;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(3).ok());
    int appends = 0;
    files.BeforeAppend("snapshot-", [&] {
      if (++appends != 5) return;  // bucket 0 is saved, bucket 1 is not
      training.Push(0, 1, 3);
      ASSERT_TRUE(training.shard().Leave(1, 1, false).ok());  // closes the round
      training.Push(1, 1, 4);                                 // takes part again
    });
    ASSERT_TRUE(training.shard().WriteSnapshot().ok());
    ASSERT_GE(appends, 5);
    expected = training.shard().Checksum();
    EXPECT_EQ(training.shard().status().max_version, 4u);
  }
  Training again(&files, {});
  ASSERT_TRUE(again.Start().ok());
  EXPECT_EQ(again.shard().Checksum(), expected);
  again.Push(0, 1, 4);
  EXPECT_EQ(again.shard().status().max_version, 5u);
  again.Push(0, 1, 5);
  EXPECT_EQ(again.shard().status().max_version, 5u) << "rank 1 takes part: it is waited for";
}

TEST(ShardSnapshotTest, ASnapshotAheadOfTheJournalIsMadeAnew) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(3).ok());
    int appends = 0;
    files.BeforeAppend("snapshot-", [&] {
      if (++appends != 5) return;
      files.FailOnce(0, absl::InternalError("crash"));  // the frame of what comes now
      for (int again = 0; again < 5; ++again) {
        EXPECT_FALSE(training.shard().Leave(1, 1, false).ok()) << "it waits for the journal, which has failed";
      }
    });
    ASSERT_TRUE(training.shard().WriteSnapshot().ok());
    files.BeforeAppend("", nullptr);
  }
  uint32_t expected = 0;
  {
    Training again(&files, {});
    ASSERT_TRUE(again.Start().ok());
    ASSERT_TRUE(again.TrainUntil(4).ok());  // no snapshot of its own comes in between
    expected = again.shard().Checksum();
  }
  Training third(&files, {});
  ASSERT_TRUE(third.Start().ok());
  EXPECT_EQ(third.shard().status().min_version, 4u);
  EXPECT_EQ(third.shard().Checksum(), expected);
}

TEST(ShardSnapshotTest, LateContributionsAreKept) {
  TrainingOptions options;
  options.quorum = 1;
  FaultyFiles files;
  uint32_t expected = 0;
  for (const bool restarted : {false, true}) {
    files.set_contents({});
    auto training = std::make_unique<Training>(&files, options);
    ASSERT_TRUE(training->Start().ok());
    ASSERT_TRUE(training->TrainUntil(5).ok());
    if (restarted) {
      ASSERT_TRUE(training->shard().WriteSnapshot().ok());
      training = std::make_unique<Training>(&files, options);
      ASSERT_TRUE(training->Start().ok());
    }
    ASSERT_TRUE(training->TrainUntil(kSteps).ok());
    if (restarted) {
      EXPECT_EQ(training->shard().Checksum(), expected);
    } else {
      expected = training->shard().Checksum();
    }
  }
}

TEST(ShardSnapshotTest, WithoutDurabilityACrashGoesBackToTheLastSnapshotAndWorkersThatAreAheadGoOn) {
  TrainingOptions options;
  options.durability = Durability::kSnapshot;
  FaultyFiles files;
  {
    Training training(&files, options);
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(7).ok());  // the last snapshot is made within round 4
  }
  files.Crash(FaultyFiles::Kept::kNothing);
  Training again(&files, options);
  ASSERT_TRUE(again.Start().ok());
  EXPECT_EQ(again.shard().status().min_version, 4u);
  absl::StatusOr<ExchangeAnswer> answer;
  const SharedBytes update = SharedBytes::Own(Gradient(0, 0, 7, 8));
  again.shard().Exchange(1, again.shard().view(), 0, {0, 7, 7, update}, [&](const auto& got) { answer = got; });
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnknown) << "it is answered before the others are there";
  ASSERT_TRUE(again.TrainUntil(kSteps).ok());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->replaces);
  EXPECT_EQ(answer->version, 8u);
  EXPECT_EQ(again.shard().Checksum(), Calm({}).at(kSteps));
}

}  // namespace
}  // namespace cddp
