#include "server/server_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/transport/security_flags.h"
#include "server/server_flags.h"
#include "server/shard_recovery.h"
#include "tests/unit/agreement/binding_checks.h"
#include "tests/unit/agreement/field_count.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

static_assert(CountFields<ConsistencyOptions>() == 3);

TEST(ServerSettingsTest, EveryFieldOfTheOptionsIsBound) {
  constexpr size_t kFields = CountFields<ServerOptions>() - 3 /* security, limits, shard */ +
                             CountFields<SecurityOptions>() + CountFields<LimitOptions>() +
                             CountFields<ShardOptions>() - 3 /* consistency, optimizer, publish */ +
                             CountFields<ConsistencyOptions>() + CountFields<OptimizerOptions>() - 1 /* lr */ +
                             CountFields<LearningRateOptions>() + CountFields<CompressorOptions>();
  CheckEveryFieldIsBound(ServerBindings(), kFields);
}

TEST(ServerSettingsTest, NamesAndFlagsAreListed) {
  CheckNames(ServerSettings(), ServerBindings());
  CheckFlagsAreListed(ServerSettings(), {kServerFlagFile, kSecurityFlagFile});
}

TEST(ServerSettingsTest, EveryFlagThatMattersIsDescribed) {
  CheckFlagsAreDescribed(
      ServerSettings(), [](const Setting& setting) { return setting.same_over == Over::kRestart; },
      [] { return DescribeForJournal(ServerOptionsFromFlags()->shard); });
  CheckFlagsAreDescribed(
      ServerSettings(), [](const Setting& setting) { return setting.agree == Agree::kAll; },
      [] { return DescribeForWorkers(ServerOptionsFromFlags()->shard); });
}

TEST(ServerSettingsTest, TextIsExact) {
  ShardOptions options;
  options.optimizer.lr.base = 0.1;
  options.shard_count = 7;
  EXPECT_THAT(DescribeForJournal(options), HasSubstr("--lr=0.10000000000000001 "));
  EXPECT_THAT(DescribeForJournal(options), HasSubstr("--shard=0 --shards=7 "));
  EXPECT_THAT(DescribeForJournal(options), Not(HasSubstr("--lease")));
  EXPECT_THAT(DescribeForWorkers(options), Not(HasSubstr("--shard=")));
  EXPECT_THAT(DescribeForWorkers(options), HasSubstr("--lease=10s"));
}

}  // namespace
}  // namespace cddp
