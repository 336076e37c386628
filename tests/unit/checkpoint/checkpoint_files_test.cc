#include "worker/checkpoint/checkpoint_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/unit/checkpoint/samples.h"
#include "worker/checkpoint/checkpoint_writer.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

class CheckpointFilesTest : public ::testing::Test {
 protected:
  CheckpointFilesTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/cddp_checkpoints_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        files_(folder_ + "/deep", 3) {
    EXPECT_TRUE(files_.Prepare().ok());
  }
  ~CheckpointFilesTest() override { std::filesystem::remove_all(folder_); }

  // Of the latest; 0: there is none.
  uint64_t LatestStep() {
    const absl::StatusOr<std::optional<WorkerCheckpoint>> latest = files_.ReadLatest();
    EXPECT_TRUE(latest.ok()) << latest.status();
    return latest.ok() && latest->has_value() ? (*latest)->exchange.step : 0;
  }

  const std::string folder_;
  const CheckpointFiles files_;
};

TEST_F(CheckpointFilesTest, KeepsTheLatestTwo) {
  EXPECT_EQ(LatestStep(), 0u);
  for (uint64_t step : {5, 6, 7}) {
    ASSERT_TRUE(files_.Write(SampleCheckpoint(step)).ok());
    EXPECT_EQ(LatestStep(), step);
  }
  EXPECT_EQ(ReadCheckpoint(files_.previous_path())->exchange.step, 6u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ + "/deep"), {}), 2);
}

TEST_F(CheckpointFilesTest, TheOlderOneStandsInForADamagedOne) {
  for (uint64_t step : {5, 6}) ASSERT_TRUE(files_.Write(SampleCheckpoint(step)).ok());
  const std::string whole = ReadFile(files_.latest_path());
  WriteFile(files_.latest_path(), whole.substr(0, whole.size() / 2));
  EXPECT_EQ(LatestStep(), 5u);
  // The next one takes the place of the damaged one, not of the one that stood in.
  ASSERT_TRUE(files_.Write(SampleCheckpoint(8)).ok());
  EXPECT_EQ(LatestStep(), 8u);
  WriteFile(files_.latest_path(), "rubbish");
  EXPECT_EQ(LatestStep(), 5u);
}

TEST_F(CheckpointFilesTest, AMomentBetweenTwoRenamesLosesNothing) {
  for (uint64_t step : {5, 6}) ASSERT_TRUE(files_.Write(SampleCheckpoint(step)).ok());
  std::filesystem::rename(files_.latest_path(), files_.previous_path());
  EXPECT_EQ(LatestStep(), 6u);
}

TEST_F(CheckpointFilesTest, WhereNoneIsWholeThatIsAnError) {
  ASSERT_TRUE(files_.Write(SampleCheckpoint(5)).ok());
  WriteFile(files_.latest_path(), "CDDPWORK and then nothing that fits");
  const absl::Status status = files_.ReadLatest().status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(files_.latest_path()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--checkpoint_dir"));
}

TEST_F(CheckpointFilesTest, OneThatIsThereButCannotBeReadIsNotTakenForNone) {
  ASSERT_TRUE(std::filesystem::create_directory(files_.latest_path()));
  EXPECT_TRUE(absl::IsDataLoss(files_.ReadLatest().status())) << files_.ReadLatest().status();
  std::filesystem::remove(files_.latest_path());
  std::filesystem::create_symlink(files_.latest_path(), files_.latest_path());  // cannot be opened, even by root
  const absl::Status status = files_.ReadLatest().status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot be opened"));
}

TEST_F(CheckpointFilesTest, AFailedWriteKeepsWhatThereWas) {
  ASSERT_TRUE(files_.Write(SampleCheckpoint(5)).ok());
  std::filesystem::create_directory(files_.latest_path() + ".new");  // in the way
  EXPECT_FALSE(files_.Write(SampleCheckpoint(6)).ok());
  EXPECT_EQ(LatestStep(), 5u);
}

TEST_F(CheckpointFilesTest, TheWriterTellsWhatBecameOfEach) {
  std::atomic<uint64_t> written = 0;
  CheckpointWriter writer(files_, [&](const CheckpointWriter::Written& each) {
    EXPECT_TRUE(each.status.ok()) << each.status;
    written = each.step;
  });
  for (uint64_t step = 1; step <= 20; ++step) writer.Write(SampleCheckpoint(step));
  ASSERT_TRUE(writer.Wait().ok());
  EXPECT_FALSE(writer.busy());
  EXPECT_EQ(written, 20u);
  EXPECT_EQ(LatestStep(), 20u);
}

TEST_F(CheckpointFilesTest, TheWritersErrorIsTheLastOnes) {
  std::filesystem::create_directory(files_.latest_path() + ".new");
  CheckpointWriter writer(files_, [](const CheckpointWriter::Written&) {});
  writer.Write(SampleCheckpoint(1));
  EXPECT_FALSE(writer.Wait().ok());
  std::filesystem::remove(files_.latest_path() + ".new");
  writer.Write(SampleCheckpoint(2));
  EXPECT_TRUE(writer.Wait().ok());
}

}  // namespace
}  // namespace cddp
