// Real clusters in each mode: where the optimizer steps, what is exchanged, and what the programs decide by themselves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/process_test.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

// For scripts: kill_child FLAG kills the child of $run that was started with it, and says so. Only $run's children are
// looked at, so that it comes before the run has ended.
constexpr char kKillChild[] = R"sh(
kill_child() {
  for process in $(cat /proc/$run/task/$run/children); do
    grep -qsz -e "^$1\$" /proc/$process/cmdline && kill -9 $process && echo killed
  done
}
)sh";

// Where the optimizer steps, and what is exchanged: gradients every step, the change of the weights every step, or
// every few steps.
struct Mode {
  const char* name;
  const char* flags;
};
void PrintTo(const Mode& mode, std::ostream* to) { *to << mode.name; }

class ModesTest : public ProcessTest, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(
    Modes, ModesTest,
    ::testing::Values(
        Mode{"SgdAtTheServers", ""}, Mode{"AdamWAtTheWorkers", "--optimizer=adamw --local_steps=1 "},
        Mode{"AdamWClippedEveryFourSteps", "--optimizer=adamw --clip_norm=1 --weight_decay=0.1 "},
        Mode{"AdamWOverlapped", "--optimizer=adamw --clip_norm=1 --overlap=1 "},
        Mode{"BatchNormalisation", "--model=bn_cnn --bucket_bytes=8192 "},
        Mode{"BatchNormalisationAndAdamWEveryFourSteps", "--model=bn_cnn --bucket_bytes=8192 --optimizer=adamw "},
        Mode{"BatchNormalisationOverlapped", "--model=bn_cnn --bucket_bytes=8192 --optimizer=adamw --overlap=4 "}),
    [](const auto& info) { return info.param.name; });

TEST_P(ModesTest, TheSameSeedGivesTheSameWeightsWithAnyNumberOfServers) {
  const std::string flags = absl::StrCat(GetParam().flags, "--overwrite --workers=3 ");
  std::string checksum;
  for (int servers : {1, 2, 3, 1}) {
    const Outcome run = RunShell(Train(absl::StrCat(flags, "--servers=", servers)));
    ASSERT_EQ(run.exit_code, 0) << run.output;
    const std::string got = Report().at("weights_crc32c");
    if (checksum.empty()) checksum = got;
    EXPECT_EQ(got, checksum) << servers << " servers";
  }
  ASSERT_EQ(RunShell(Train(flags + "--seed=43")).exit_code, 0);
  EXPECT_NE(Report().at("weights_crc32c"), checksum);
}

// What is left to the programs to decide, beside the mode.
struct AutoMode {
  const char* name;
  const char* flags;
  bool decides_ratio;
  bool decides_steps;
};
void PrintTo(const AutoMode& mode, std::ostream* to) { *to << mode.name; }

class AutoTest : public ProcessTest, public ::testing::WithParamInterface<AutoMode> {
 protected:
  // "auto", or "@FOLDER" to repeat the run there.
  static std::string Decided(const std::string& how) {
    return absl::StrCat(GetParam().decides_ratio ? absl::StrCat("--ratio=", how, " ") : "",
                        GetParam().decides_steps ? absl::StrCat("--local_steps=", how, " ") : "");
  }
};

INSTANTIATE_TEST_SUITE_P(
    Modes, AutoTest,
    ::testing::Values(AutoMode{"SgdAtTheServers", "", true, false},
                      AutoMode{"AdamWOverlapped", "--optimizer=adamw --local_steps=1 --overlap=1 ", true, false},
                      AutoMode{"StepsOfAdamW", "--optimizer=adamw ", false, true},
                      AutoMode{"StepsOfAdamWOverlapped", "--optimizer=adamw --overlap=2 ", false, true},
                      AutoMode{"StepsAndRatioWithBatchNormalisation",
                               "--model=bn_cnn --bucket_bytes=8192 --optimizer=adamw ", true, true}),
    [](const auto& info) { return info.param.name; });

// What --ratio=auto and --local_steps=auto decide depends on times, so it is written down: whoever is killed goes on
// with it, and a run that repeats it has the same bits.
TEST_P(AutoTest, WhatAutoDecidesSurvivesAKillAndCanBeRepeated) {
  const std::string flags = absl::StrCat(GetParam().flags, "--workers=2 --servers=2 --epochs=20 ");
  std::ofstream(folder_ / "script") << kKillChild
                                    << absl::StrReplaceAll(
                                           R"sh(
TRAIN >FOLDER/output 2>&1 &
run=$!
until [ -e FOLDER/run/DECISIONS ] && [ "$(wc -l <FOLDER/run/DECISIONS)" -ge 2 ]; do kill -0 $run || break; done
kill_child --rank=1
wait $run
code=$?
cat FOLDER/output
exit $code
)sh",
                                           {{"FOLDER", folder_.string()},
                                            {"DECISIONS", GetParam().decides_steps ? "local_steps" : "ratio-1"},
                                            {"TRAIN", Train(absl::StrCat(flags, Decided("auto"), "--durable"))}});
  const Outcome killed = RunShell(absl::StrCat("bash ", (folder_ / "script").string()));
  ASSERT_EQ(killed.exit_code, 0) << killed.output;
  EXPECT_THAT(killed.output, HasSubstr("worker 1 was killed; it goes on from its checkpoint"));
  if (GetParam().decides_ratio) {
    const nlohmann::json ratios = Report().at("ratios");
    EXPECT_EQ(ratios.at(0).at("step"), 1);
    EXPECT_EQ(ratios.at(0).at("ratio"), GetParam().decides_steps ? 0.05 : 0.01);
    EXPECT_GE(ratios.size(), 2u) << "a loopback and a small model: they do not stay there";
  }
  if (GetParam().decides_steps) {
    const nlohmann::json steps = Report().at("local_steps");
    EXPECT_EQ(steps.at(0).at("exchange"), 1);
    EXPECT_EQ(steps.at(0).at("local_steps"), 4);
    EXPECT_GE(steps.size(), 2u) << "a small model: an exchange lasts longer than four steps";
  }
  const Outcome again =
      RunShell(Train(absl::StrCat(flags, Decided(absl::StrCat("@", (folder_ / "run").string()))), "again"));
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_EQ(Report("again").at("weights_crc32c"), Report().at("weights_crc32c"));
}

TEST_P(ModesTest, WhoeverIsKilledGoesOnFromItsJournalOrCheckpoint) {
  const std::string flags = absl::StrCat(GetParam().flags, "--workers=2 --epochs=20 --durable");
  const Outcome calm = RunShell(Train(flags, "calm"));
  ASSERT_EQ(calm.exit_code, 0) << calm.output;
  // Kills server 1 and worker 1 when the first epoch is over.
  std::ofstream(folder_ / "script") << kKillChild
                                    << absl::StrReplaceAll(
                                           R"sh(
TRAIN >FOLDER/output 2>&1 &
run=$!
until [ -e FOLDER/run/report.json ] && grep -q '"epoch":' FOLDER/run/report.json; do kill -0 $run || break; done
kill_child --state_dir=FOLDER/run/state-1
kill_child --rank=1
wait $run
code=$?
cat FOLDER/output
exit $code
)sh",
                                           {{"FOLDER", folder_.string()}, {"TRAIN", Train(flags)}});
  const Outcome outcome = RunShell(absl::StrCat("bash ", (folder_ / "script").string()));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("killed\nkilled\n"));
  EXPECT_THAT(outcome.output, HasSubstr("worker 1 was killed; it goes on from its checkpoint"));
  EXPECT_THAT(outcome.output, HasSubstr("server 1 was killed; it goes on from its journal"));
  EXPECT_EQ(Report().at("weights_crc32c"), Report("calm").at("weights_crc32c"));

  const Outcome again = RunShell(Train(flags));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.output, HasSubstr("holds the state of another run"));
}

}  // namespace
}  // namespace cddp
