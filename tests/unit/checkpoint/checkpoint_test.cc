#include "worker/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/unit/checkpoint/samples.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

std::string Path() { return absl::StrCat(::testing::TempDir(), "/cddp_checkpoint_", getpid()); }

// The bytes of a file with it.
std::string BytesOf(const WorkerCheckpoint& checkpoint) {
  absl::StatusOr<NewFile> file = NewFile::Create(Path());
  EXPECT_TRUE(file.ok() && Append(checkpoint, &*file).ok());
  return ReadFile(Path());
}

absl::StatusOr<WorkerCheckpoint> Reread(const std::string& bytes) {
  WriteFile(Path(), bytes);
  absl::StatusOr<WorkerCheckpoint> checkpoint = ReadCheckpoint(Path());
  unlink(Path().c_str());
  return checkpoint;
}

TEST(CheckpointTest, HoldsAllThatItWasGiven) {
  const WorkerCheckpoint sample = SampleCheckpoint(17);
  const std::string bytes = BytesOf(sample);
  const absl::StatusOr<WorkerCheckpoint> read = Reread(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->fingerprint, sample.fingerprint);
  EXPECT_EQ(read->flags, sample.flags);
  EXPECT_EQ(read->exchange.step, 17u);
  EXPECT_EQ(read->exchange.versions, sample.exchange.versions);
  EXPECT_EQ(read->exchange.engine.ratio, 0.01);
  EXPECT_EQ(read->exchange.engine.residual, sample.exchange.engine.residual);
  EXPECT_EQ(read->exchange.engine.velocity, sample.exchange.engine.velocity);
  EXPECT_EQ(read->exchange.engine.thresholds, sample.exchange.engine.thresholds);
  EXPECT_EQ(read->model, sample.model);
  EXPECT_EQ(read->optimizer, sample.optimizer);
  EXPECT_EQ(read->totals, sample.totals);
  EXPECT_EQ(BytesOf(*read), bytes) << "minus zero and denormals, too";
}

TEST(CheckpointTest, EveryCutAndEveryFlippedBitIsFound) {
  const std::string bytes = BytesOf(SampleCheckpoint(17));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(Reread(bytes.substr(0, size)).status())) << size << " bytes";
  }
  EXPECT_TRUE(absl::IsDataLoss(Reread(bytes + '\0').status()));
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_TRUE(absl::IsDataLoss(Reread(damaged).status())) << "bit " << bit;
  }
}

TEST(CheckpointTest, AnotherRunIsNamed) {
  const WorkerCheckpoint checkpoint = SampleCheckpoint(17);
  EXPECT_TRUE(CheckFits(checkpoint, checkpoint.fingerprint, checkpoint.flags).ok());
  const absl::Status flags = CheckFits(checkpoint, checkpoint.fingerprint, "--model=mlp --seed=43");
  EXPECT_TRUE(absl::IsInvalidArgument(flags)) << flags;
  EXPECT_THAT(std::string(flags.message()), HasSubstr("with --seed=42, but this worker has --seed=43"));
  EXPECT_THAT(std::string(CheckFits(checkpoint, 5, checkpoint.flags).message()), HasSubstr("another model"));
}

}  // namespace
}  // namespace cddp
