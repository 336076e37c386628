#include "common/config/flag_effects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

// A program with a few flags of the table.
ABSL_FLAG(std::string, optimizer, "sgd", "");
ABSL_FLAG(bool, nesterov, false, "");
ABSL_FLAG(double, beta1, 0.9, "");
ABSL_FLAG(std::string, state_dir, "", "");
ABSL_FLAG(int, checkpoint_every, 0, "");
ABSL_FLAG(int, local_steps, 1, "");
ABSL_FLAG(std::string, lr_schedule, "constant", "");
ABSL_FLAG(int, lr_decay_steps, 0, "");
ABSL_FLAG(std::string, dataset, "mnist", "");
ABSL_FLAG(std::string, data_dir, "", "");

namespace cddp {
namespace {

using ::testing::HasSubstr;

class FlagEffectsTest : public ::testing::Test {
 protected:
  absl::Status Check(const std::vector<std::string>& args, const FlagScope& scope = {}) {
    absl::FlagSaver restore;
    EXPECT_TRUE(ParseCommandLine(args).ok());
    return CheckFlagsHaveEffect(scope);
  }
};

TEST_F(FlagEffectsTest, AFlagWithoutEffectIsRefusedWithTheReason) {
  EXPECT_EQ(Check({"--optimizer=adam", "--nesterov"}).message(),
            "--nesterov=true has no effect with --optimizer=adam: leave it out, or give --optimizer=sgd");
  EXPECT_THAT(Check({"--beta1=0.8"}).message(), HasSubstr("give --optimizer=adam or --optimizer=adamw"));
  EXPECT_THAT(Check({"--checkpoint_every=5"}).message(), HasSubstr("leave it out, or give --state_dir"));
  EXPECT_THAT(Check({"--optimizer=none", "--local_steps=8"}).message(),
              HasSubstr("--local_steps=8 has no effect with --optimizer=none"));
  EXPECT_THAT(Check({"--data_dir=x", "--dataset=fashion"}).message(),
              HasSubstr("--dataset=fashion has no effect with --data_dir=x"));
  EXPECT_THAT(Check({"--lr_decay_steps=9"}).message(), HasSubstr("give --lr_schedule=step or --lr_schedule=cosine"));
}

TEST_F(FlagEffectsTest, AFlagWithEffectIsNot) {
  EXPECT_TRUE(Check({"--nesterov"}).ok());
  EXPECT_TRUE(Check({"--dataset=fashion"}).ok());
  EXPECT_TRUE(Check({"--optimizer=adamw", "--beta1=0.8"}).ok());
  EXPECT_TRUE(Check({"--state_dir=x", "--checkpoint_every=5"}).ok());
  EXPECT_TRUE(Check({"--local_steps=8", "--lr_schedule=cosine", "--lr_decay_steps=9"}).ok());
}

TEST_F(FlagEffectsTest, WhatHappensAnywayMayBeWrittenDown) {
  EXPECT_TRUE(Check({"--optimizer=adam", "--nesterov=false", "--checkpoint_every=0"}).ok());
}

TEST_F(FlagEffectsTest, FlagsOutsideTheScopeDoNotCount) {
  EXPECT_TRUE(Check({"--beta1=0.8"}, {{"another.cc"}, {"optimizer"}}).ok());
  EXPECT_FALSE(Check({"--beta1=0.8"}, {{"another.cc"}, {"optimizer", "beta1"}}).ok());
}

}  // namespace
}  // namespace cddp
