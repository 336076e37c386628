#include "worker/trainer/worker_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/flags/flag.h"
#include "common/transport/security_flags.h"
#include "tests/unit/agreement/binding_checks.h"
#include "tests/unit/agreement/field_count.h"
#include "worker/worker_flags.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(WorkerSettingsTest, EveryFieldOfTheOptionsIsBound) {
  constexpr size_t kFields =
      CountFields<RunSettings>() - 1 /* options */ + CountFields<TrainerOptions>() -
      4 /* step, gpt, exchange, cluster */ + CountFields<GptOptions>() + CountFields<OptimizerOptions>() - 1 /* lr */ +
      CountFields<LearningRateOptions>() + CountFields<GradientCompressorOptions>() - 1 /* compressor */ +
      CountFields<CompressorOptions>() + CountFields<GrpcClusterOptions>() - 1 /* run */ + CountFields<RunIdentity>();
  CheckEveryFieldIsBound(WorkerBindings(), kFields);
}

TEST(WorkerSettingsTest, NamesAndFlagsAreListed) {
  CheckNames(WorkerSettings(), WorkerBindings());
  CheckFlagsAreListed(WorkerSettings(), {kWorkerFlagFile, kSecurityFlagFile});
}

TEST(WorkerSettingsTest, EveryFlagThatMattersIsDescribed) {
  // So that any rank, and momentum with local steps, make sense.
  absl::CommandLineFlag* workers = absl::FindCommandLineFlag("workers");
  std::string error;
  ASSERT_TRUE(workers->ParseFrom("8", &error));
  CheckFlagsAreDescribed(
      WorkerSettings(), [](const Setting& setting) { return setting.same_over == Over::kRestart; },
      [] {
        return DescribeForCheckpoint({*TrainerOptionsFromFlags(), 7});
      });
  CheckFlagsAreDescribed(
      WorkerSettings(), [](const Setting& setting) { return setting.agree == Agree::kAll; },
      [] {
        return DescribeForServers({*TrainerOptionsFromFlags(), 7});
      });
}

TEST(WorkerSettingsTest, SaysWhatIsUsed) {
  RunSettings settings;
  settings.options.train_examples = 60000;
  settings.options.bucket_elements = 1024;
  settings.options.exchange.clip_norm = 0.3;
  settings.data_crc32c = 0x1a;
  const std::string agreement = DescribeForServers(settings);
  EXPECT_THAT(agreement, HasSubstr("--train_examples=60000 data_crc32c=0000001a "));
  EXPECT_THAT(agreement, HasSubstr("--bucket_bytes=4096"));
  EXPECT_THAT(agreement, HasSubstr("--clip_norm=0.29999999999999999"));
  EXPECT_THAT(agreement, HasSubstr("--epochs=5"));
  EXPECT_THAT(agreement, Not(HasSubstr("ratio"))) << "a worker may have its own";
  EXPECT_THAT(agreement, Not(HasSubstr("rank")));
  const std::string checkpoint = DescribeForCheckpoint(settings);
  EXPECT_THAT(checkpoint, HasSubstr("--rank=0"));
  EXPECT_THAT(checkpoint, HasSubstr("--ratio=0.01"));
  EXPECT_THAT(checkpoint, Not(HasSubstr("--epochs"))) << "a run may be made longer";
  settings.data_crc32c = 0x1b;
  EXPECT_NE(DescribeForServers(settings), agreement);
  EXPECT_NE(DescribeForCheckpoint(settings), checkpoint);
}

}  // namespace
}  // namespace cddp
