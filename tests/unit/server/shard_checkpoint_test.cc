// Checkpoints of a shard: they can be read, are restored once, and do not accumulate.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/server/shard_training.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

TEST(ShardCheckpointTest, ACheckpointIsReadAndGoneBackTo) {
  const std::map<uint64_t, uint32_t> calm = Calm({});
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
    ASSERT_TRUE(training.checkpoint().ok()) << training.checkpoint();
    absl::Status past;
    training.shard().WriteCheckpoint(6, [&past](const absl::Status& status) { past = status; });
    training.shard().WriteDueFiles();
    EXPECT_TRUE(absl::IsFailedPrecondition(past)) << past;
    size_t elements = 0;
    const auto reader = training.shard().OpenCheckpoint(6);
    ASSERT_TRUE(reader.ok()) << reader.status();
    for (auto next = training.shard().ReadCheckpoint(**reader); next->has_value();
         next = training.shard().ReadCheckpoint(**reader)) {
      EXPECT_EQ((*next)->version, 6u);
      elements += (*next)->weights.size();
    }
    EXPECT_EQ(elements, Layout().total_elements());
    const absl::Status missing = training.shard().OpenCheckpoint(5).status();
    EXPECT_TRUE(absl::IsNotFound(missing));
    EXPECT_THAT(std::string(missing.message()), HasSubstr("there are: 6"));
  }
  TrainingOptions back;
  back.restore_version = 6;
  std::map<std::string, std::string> before = files.contents();
  before["checkpoint-9"] = before.at("checkpoint-6");
  before["journal-4"].append(100, '\0');  // a torn tail
  // A crash at any call of the way back leaves either state, and trying again succeeds, as does giving up.
  for (uint64_t calls = 0; calls < 40; ++calls) {
    files.set_contents(before);
    files.FailAfter(calls, absl::InternalError("crash"));
    { Training(&files, back).Start().IgnoreError(); }
    files.Crash(FaultyFiles::Kept::kNothing);
    const std::map<std::string, std::string> crashed = files.contents();
    {
      Training given_up(&files, {});
      const absl::Status status = given_up.Start();
      ASSERT_TRUE(status.ok()) << "call " << calls << ": " << status;
      EXPECT_THAT(given_up.shard().status().max_version, ::testing::AnyOf(6u, kSteps));
    }
    files.set_contents(crashed);
    {
      Training training(&files, back);
      ASSERT_TRUE(training.Start().ok()) << "call " << calls;
      EXPECT_EQ(files.contents().count("checkpoint-9"), 0u) << "of what was forgotten";
      EXPECT_EQ(training.shard().status().max_version, 6u);
      EXPECT_EQ(training.shard().Checksum(), calm.at(6));
      ASSERT_TRUE(training.TrainUntil(8).ok());
    }
    {
      Training same(&files, back);
      ASSERT_TRUE(same.Start().ok());
      EXPECT_EQ(same.shard().status().min_version, 8u) << "it goes back once";
    }
    Training on(&files, {});
    ASSERT_TRUE(on.Start().ok()) << "call " << calls;
    ASSERT_TRUE(on.TrainUntil(kSteps).ok());
    EXPECT_EQ(on.shard().Checksum(), calm.at(kSteps));
  }
}

TEST(ShardCheckpointTest, OneGoesBackWhenTheJournalIsGoneAndTheNextStartKeepsWhatCameAfter) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  }
  std::map<std::string, std::string> lost = files.contents();
  for (const char* name : {"journal-4", "snapshot-4"}) {
    lost.erase(name);
    files.set_contents(lost);
    EXPECT_TRUE(absl::IsDataLoss(Training(&files, {}).Start())) << "without " << name << " there is more than nothing";
    if (std::string(name) == "snapshot-4") continue;
    TrainingOptions back;
    back.restore_version = 6;
    {
      Training training(&files, back);
      ASSERT_TRUE(training.Start().ok());
      ASSERT_TRUE(training.TrainUntil(8).ok());
    }
    Training on(&files, {});
    ASSERT_TRUE(on.Start().ok()) << on.Start();
    EXPECT_EQ(on.shard().status().min_version, 8u);
  }
}

// The flag may stay where the server's flags are kept.
TEST(ShardCheckpointTest, DamageIsNoReasonToGoBackASecondTime) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  }
  TrainingOptions back;
  back.restore_version = 6;
  {
    Training training(&files, back);
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(7).ok());
  }
  const std::map<std::string, std::string> good = files.contents();
  ASSERT_EQ(good.count("snapshot-5"), 1u);
  for (const bool missing : {false, true}) {
    std::map<std::string, std::string> bad = good;
    bad["snapshot-5"][40] ^= 1;  // in the first frame
    if (missing) bad.erase("snapshot-5");
    files.set_contents(bad);
    const absl::Status status = Training(&files, back).Start();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("move journal-5 away"));
    EXPECT_EQ(files.contents(), bad) << "nothing is removed";
  }
}

TEST(ShardCheckpointTest, CheckpointsOfVersionsThatDoNotComeDoNotPileUp) {
  int refused = 0;  // outlives the training, whose end tells the others
  FaultyFiles files;
  Training training(&files, {});
  ASSERT_TRUE(training.Start().ok());
  ASSERT_TRUE(training.TrainUntil(1).ok());
  for (int i = 0; i < 1000; ++i) {
    training.shard().WriteCheckpoint(1'000'000,
                                     [&](const absl::Status& status) { refused += absl::IsResourceExhausted(status); });
  }
  EXPECT_EQ(refused, 1000 - 16);
  EXPECT_TRUE(training.TrainUntil(kSteps).ok()) << "and training goes on";
}

}  // namespace
}  // namespace cddp
