#include "worker/rounds/adaptive_ratio.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_folder.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSteps = 300;

class AdaptiveRatioTest : public ::testing::Test {
 protected:
  std::string Content() const { return ReadFile(path_); }
  void Write(const std::string& content) const { std::ofstream(path_) << content; }

  // What each of the steps [from, to) sends; the network is fast until step 150, and slow from then on.
  static std::vector<SendLevel> Train(AdaptiveRatio& ratio, uint64_t from, uint64_t to) {
    std::vector<SendLevel> sent;
    for (uint64_t step = from; step < to; ++step) {
      sent.push_back(ratio.LevelOf(step));
      const double seconds = sent.back().ratio * (step < 150 ? 0.001 : 100);
      const absl::StatusOr<bool> changed = ratio.NoteRound(step, 1, seconds);
      EXPECT_TRUE(changed.ok()) << changed.status();
      EXPECT_EQ(*changed, !(ratio.LevelOf(step + 1) == sent.back()));
    }
    return sent;
  }

  std::unique_ptr<AdaptiveRatio> Auto() const { return *AdaptiveRatio::Create({RatioChoice::Kind::kAuto}, path_); }

  const TempFolder folder_;
  const std::string path_ = folder_.File("ratio");
};

TEST_F(AdaptiveRatioTest, AFileThatCannotBeWrittenIsFoundBeforeTheTraining) {
  const absl::Status status = AdaptiveRatio::Create({RatioChoice::Kind::kAuto}, "/nonexistent/ratio").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("--ratio_log=/nonexistent/ratio"));
}

TEST_F(AdaptiveRatioTest, DecidesAndAnotherRunRepeatsIt) {
  const auto first = Auto();
  ASSERT_TRUE(first->Begin(1, 0).ok());
  const std::vector<SendLevel> sent = Train(*first, 1, kSteps);
  EXPECT_EQ(sent.front().ratio, 0.01);
  EXPECT_EQ(sent[148].ratio, 1);
  EXPECT_EQ(sent.back().ratio, 0.001);
  EXPECT_THAT(Content(), HasSubstr("1 0.01 int4 gap8\n"));
  RatioChoice repeat;
  repeat.kind = RatioChoice::Kind::kRepeat;
  repeat.decisions = path_;
  const auto second = *AdaptiveRatio::Create(repeat, "");
  ASSERT_TRUE(second->Begin(1, 0).ok());
  EXPECT_EQ(Train(*second, 1, kSteps), sent);
}

TEST_F(AdaptiveRatioTest, StepsThatWereMadeBeforeAreRepeatedAtEveryMoment) {
  const auto calm = Auto();
  ASSERT_TRUE(calm->Begin(1, 0).ok());
  const std::vector<SendLevel> sent = Train(*calm, 1, kSteps);
  for (uint64_t killed = 2; killed < kSteps; killed += 7) {
    std::filesystem::remove(path_);
    const auto first = Auto();
    ASSERT_TRUE(first->Begin(1, 0).ok());
    Train(*first, 1, killed);
    const uint64_t restored = killed / 2 + 1;
    const auto again = Auto();
    ASSERT_TRUE(again->Begin(restored, killed).ok());
    const std::vector<SendLevel> repeated = Train(*again, restored, killed);
    EXPECT_EQ(repeated, std::vector<SendLevel>(sent.begin() + static_cast<int64_t>(restored) - 1,
                                               sent.begin() + static_cast<int64_t>(killed) - 1));
    Train(*again, killed, killed + 20);
  }
}

TEST_F(AdaptiveRatioTest, WhatNobodyKnowsIsNotGuessed) {
  EXPECT_THAT(Auto()->Begin(5, 9).message(), HasSubstr("steps from 5 on were made before, and "));
  Write("7 0.01 int4 gap8\n");
  EXPECT_EQ(Auto()->Begin(5, 9).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Auto()->Begin(7, 9).ok());
}

TEST_F(AdaptiveRatioTest, ANewStartForgetsWhatCameLater) {
  Write("1 0.01 int4 gap8\n90 0.02 int4 gap8\n");
  ASSERT_TRUE(Auto()->Begin(50, 0).ok());
  EXPECT_EQ(Content(), "1 0.01 int4 gap8\n50 0.01 int4 gap8\n");
  ASSERT_TRUE(Auto()->Begin(1, 0).ok());
  EXPECT_EQ(Content(), "1 0.01 int4 gap8\n");
}

TEST_F(AdaptiveRatioTest, BadFilesAreRefusedByLine) {
  for (const char* bad : {"x\n", "1 0.01 int4\n", "1 2 int4 gap8\n", "1 0.01 int4 dense\n", "1 0.01 int5 gap8\n",
                          "-1 0.01 int4 gap8\n", "3 0.01 int4 gap8\n3 0.01 int4 gap8\n"}) {
    Write(absl::StrCat("# a comment\n", bad));
    const absl::Status status = AdaptiveRatio::Create({RatioChoice::Kind::kAuto}, path_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(status.message(), HasSubstr(": line ")) << bad;
  }
  RatioChoice repeat;
  repeat.kind = RatioChoice::Kind::kRepeat;
  repeat.decisions = "/nonexistent/file";
  EXPECT_THAT(AdaptiveRatio::Create(repeat, "").status().message(), HasSubstr("/nonexistent/file: cannot be opened"));
}

}  // namespace
}  // namespace cddp
