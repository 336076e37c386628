// A shard that is taken from its training by a crash or damage at any moment ends as if nothing had happened, or says
// why not.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/server/shard_training.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

class ShardCrashTest : public ::testing::TestWithParam<OptimizerKind> {};

TEST_P(ShardCrashTest, ACrashAtAnyCallLosesNoAnsweredVersion) {
  TrainingOptions options;
  options.optimizer = GetParam();
  const std::map<uint64_t, uint32_t> calm = Calm(options);
  using Kept = FaultyFiles::Kept;
  for (const Kept kept : {Kept::kNothing, Kept::kHalf, Kept::kAll, Kept::kLengthOnly}) {
    bool completed = false;
    for (uint64_t calls = 0; !completed; ++calls) {
      FaultyFiles files;
      uint64_t answered = 0;
      {
        files.FailAfter(calls, absl::InternalError("crash"));
        Training training(&files, options);
        if (training.Start().ok()) completed = training.TrainUntil(kSteps).ok();
        answered = training.answered();
      }
      files.Crash(kept);
      Training again(&files, options);
      ASSERT_TRUE(again.Start().ok()) << "after call " << calls << ": " << again.Start();
      const ShardStatus status = again.shard().status();
      ASSERT_GE(status.min_version, answered) << "after call " << calls;
      ASSERT_TRUE(again.TrainUntil(kSteps).ok());
      ASSERT_EQ(again.shard().Checksum(), calm.at(kSteps)) << "after call " << calls;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, ShardCrashTest, ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdamW),
                         [](const auto& info) { return AbslUnparseFlag(info.param); });

TEST(ShardSnapshotCrashTest, WithSnapshotsAloneACrashAtAnyCallGoesBackToOneOfThem) {
  TrainingOptions options;
  options.durability = Durability::kSnapshot;
  const uint32_t calm = Calm({}).at(kSteps);
  using Kept = FaultyFiles::Kept;
  for (const Kept kept : {Kept::kNothing, Kept::kHalf, Kept::kAll, Kept::kLengthOnly}) {
    bool completed = false;
    for (uint64_t calls = 0; !completed; ++calls) {
      FaultyFiles files;
      {
        files.FailAfter(calls, absl::InternalError("crash"));
        Training training(&files, options);
        if (training.Start().ok()) completed = training.TrainUntil(kSteps).ok() && training.checkpoint().ok();
      }
      files.Crash(kept);
      Training again(&files, options);
      const absl::Status started = again.Start();
      ASSERT_TRUE(started.ok()) << "after call " << calls << ": " << started;
      ASSERT_TRUE(again.TrainUntil(kSteps).ok());
      ASSERT_EQ(again.shard().Checksum(), calm) << "after call " << calls;
    }
  }
}

// Of the zeros that fill a journal's blocks every 61st byte stands for those around it.
bool LikeItsNeighbours(const std::string& bytes, size_t at) {
  constexpr size_t kAround = 32;
  if (at % 61 == 0 || at < kAround || at + kAround >= bytes.size()) return false;
  return std::all_of(bytes.begin() + at - kAround, bytes.begin() + at + kAround, [](char byte) { return byte == 0; });
}

TEST(ShardDamageTest, EveryFlippedBitAndEveryMissingByteIsToldOrHarmless) {
  const TrainingOptions options;
  const std::map<uint64_t, uint32_t> calm = Calm(options);
  FaultyFiles files;
  {
    Training training(&files, options);
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(7).ok());
  }
  const std::map<std::string, std::string> good = files.contents();
  ASSERT_EQ(good.count("snapshot-2"), 1u) << "the case must cover a snapshot";
  const auto check = [&](const std::string& what) {
    Training training(&files, options);
    if (const absl::Status status = training.Start(); !status.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status)) << what << ": " << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("state/")) << what;
      return;
    }
    // A journal cut between two frames is one that ended there: what is there is whole, and workers that know more say
    // so (FailedPrecondition: the bucket is behind).
    const ShardStatus status = training.shard().status();
    if (status.min_version == status.max_version && status.min_version > 0) {
      EXPECT_EQ(training.shard().Checksum(), calm.at(status.min_version)) << what;
    }
    EXPECT_TRUE(training.TrainUntil(kSteps).ok()) << what;
    EXPECT_EQ(training.shard().Checksum(), calm.at(kSteps)) << what;
  };
  for (const auto& [name, bytes] : good) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      if (LikeItsNeighbours(bytes, size)) continue;
      std::map<std::string, std::string> bad = good;
      bad[name].resize(size);
      files.set_contents(bad);
      check(absl::StrCat(name, " cut at ", size));
      if (HasFailure()) return;
    }
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      if (LikeItsNeighbours(bytes, bit / 8)) continue;
      std::map<std::string, std::string> bad = good;
      bad[name][bit / 8] = static_cast<char>(bad[name][bit / 8] ^ (1 << bit % 8));
      files.set_contents(bad);
      check(absl::StrCat(name, " with bit ", bit, " flipped"));
      if (HasFailure()) return;
    }
  }
}

TEST(ShardDamageTest, ASegmentWithoutItsFirstFrameBesideItsSnapshotIsDamaged) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  }
  std::map<std::string, std::string> bad = files.contents();
  bad.at("journal-4").clear();
  files.set_contents(bad);
  const absl::Status status = Training(&files, {}).Start();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("its beginning is missing"));
}

}  // namespace
}  // namespace cddp
