// What the processes of one training must have alike is compared when a worker joins.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/local_cluster.h"
#include "tests/support/temp_folder.h"

namespace cddp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kSettings[] = "--seed=1 --epochs=5 --local_steps=1";

class AgreementTest : public ::testing::Test {
 protected:
  static ServerOptions Options(uint32_t shard, uint32_t shards) {
    ServerOptions options;
    options.metrics_listen = "";
    options.shard.shard = shard;
    options.shard.shard_count = shards;
    options.shard.worker_count = 3;
    return options;
  }

  ServerOptions DurableOptions() const {
    ServerOptions options = Options(0, 1);
    options.shard.state_dir = folder_.string();
    return options;
  }

  static absl::StatusOr<std::unique_ptr<GrpcCluster>> TryJoin(const std::vector<std::string>& addresses, uint32_t rank,
                                                              const std::string& settings, uint64_t incarnation = 0,
                                                              const std::string& run = "") {
    GrpcClusterOptions options;
    options.addresses = addresses;
    options.rank = rank;
    options.worker_count = 3;
    options.incarnation = incarnation;
    options.agreement = settings;
    if (!run.empty()) options.run = {run, RunClaim::kNamed};
    options.server_timeout = absl::Seconds(30);
    return GrpcCluster::Join(options, *ParameterLayout::Create({{"w", {40}}}, 10));
  }

  static void ExpectRefused(const absl::StatusOr<std::unique_ptr<GrpcCluster>>& joined, const std::string& says) {
    EXPECT_EQ(joined.status().code(), absl::StatusCode::kInvalidArgument) << joined.status();
    EXPECT_THAT(std::string(joined.status().message()), HasSubstr(says));
  }

  const TempFolder folder_;
};

TEST_F(AgreementTest, AWorkerWithAnotherSettingIsRefused) {
  const auto server = *Server::Start(Options(0, 1));
  const auto first = TryJoin({server->address()}, 0, kSettings);
  ASSERT_TRUE(first.ok()) << first.status();
  ExpectRefused(TryJoin({server->address()}, 2, "--seed=1 --epochs=5 --local_steps=4"),
                "worker 2 has --local_steps=4, but this training was begun with --local_steps=1 (worker 0)");
  ExpectRefused(TryJoin({server->address()}, 2, "--seed=1 --epochs=6 --local_steps=1"),
                "worker 2 has --epochs=6, but this training was begun with --epochs=5 (worker 0)");
  EXPECT_EQ(server->shard().status().members.size(), 1u) << "who is refused takes no part";
  const auto alike = TryJoin({server->address()}, 2, kSettings);
  EXPECT_TRUE(alike.ok()) << alike.status();
}

TEST_F(AgreementTest, AReplacedWorkerIsLetInOnlyWithTheSameSettings) {
  const auto server = *Server::Start(Options(0, 1));
  const auto first = TryJoin({server->address()}, 0, kSettings, /*incarnation=*/1);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto other = TryJoin({server->address()}, 1, kSettings);
  const std::string run = (*first)->run();
  ExpectRefused(TryJoin({server->address()}, 0, "--seed=2 --epochs=5 --local_steps=1", /*incarnation=*/2, run),
                "--seed=2");
  const auto again = TryJoin({server->address()}, 0, kSettings, /*incarnation=*/2, run);
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_F(AgreementTest, BeforeThereAreWeightsAWorkerThatIsAloneMayBeginAgain) {
  const auto server = *Server::Start(DurableOptions());
  const auto first = *TryJoin({server->address()}, 0, kSettings);
  const std::string run = first->run();
  const auto again = TryJoin({server->address()}, 0, "--seed=2", /*incarnation=*/0, run);
  ASSERT_TRUE(again.ok()) << again.status();
  ExpectRefused(TryJoin({server->address()}, 1, kSettings), "but this training was begun with --seed=2");
  // Even with another model.
  GrpcClusterOptions options;
  options.addresses = {server->address()};
  options.worker_count = 3;
  options.run = {run, RunClaim::kNamed};
  const auto larger = GrpcCluster::Join(options, *ParameterLayout::Create({{"w", {80}}}, 10));
  ASSERT_TRUE(larger.ok()) << larger.status();
  EXPECT_EQ(server->shard().status().parameters, 80u);
  EXPECT_EQ(server->shard().buckets()->end, 8u);
}

TEST_F(AgreementTest, TheAgreementOutlivesTheServer) {
  {
    const auto server = *Server::Start(DurableOptions());
    ASSERT_TRUE(TryJoin({server->address()}, 1, kSettings).ok());
  }
  {
    const auto server = *Server::Start(DurableOptions());  // from the journal
    ExpectRefused(TryJoin({server->address()}, 0, "--seed=2 --epochs=5 --local_steps=1"),
                  "worker 0 has --seed=2, but this training was begun with --seed=1 (worker 1)");
    ASSERT_TRUE(server->shard().WriteSnapshot().ok());
  }
  const auto server = *Server::Start(DurableOptions());  // from the snapshot
  ExpectRefused(TryJoin({server->address()}, 0, "--seed=2 --epochs=5 --local_steps=1"),
                "worker 0 has --seed=2, but this training was begun with --seed=1 (worker 1)");
  EXPECT_TRUE(TryJoin({server->address()}, 0, kSettings).ok());
}

TEST_F(AgreementTest, ARunMayBeMadeLongerOnceNobodyElseTakesPart) {
  constexpr char kLonger[] = "--seed=1 --epochs=9 --local_steps=1";
  {
    const auto server = *Server::Start(DurableOptions());
    const auto first = *TryJoin({server->address()}, 0, kSettings);
    const auto second = *TryJoin({server->address()}, 1, kSettings);
    ExpectRefused(TryJoin({server->address()}, 2, kLonger), "--epochs=9");
    first->Leave(/*finished=*/true);
    second->Leave(/*finished=*/true);
    EXPECT_TRUE(TryJoin({server->address()}, 2, kLonger).ok());
    ExpectRefused(TryJoin({server->address()}, 0, kSettings),
                  "--epochs=5, but this training was begun with --epochs=9");
  }
  const auto server = *Server::Start(DurableOptions());
  ExpectRefused(TryJoin({server->address()}, 0, kSettings), "--epochs=5, but this training was begun with --epochs=9");
}

TEST_F(AgreementTest, ServersWithDifferentSettingsAreRefused) {
  const std::vector<std::pair<std::string, std::function<void(ShardOptions*)>>> cases = {
      {"--lr=0.25", [](ShardOptions* shard) { shard->optimizer.lr.base = 0.25; }},
      {"--consistency=async", [](ShardOptions* shard) { shard->consistency.mode = Consistency::kAsync; }},
      {"--quorum=2", [](ShardOptions* shard) { shard->consistency.quorum = 2; }},
      {"--optimizer=adamw", [](ShardOptions* shard) { shard->optimizer.kind = OptimizerKind::kAdamW; }},
      {"--publish_ratio=0.5", [](ShardOptions* shard) { shard->publish.ratio = 0.5; }},
      {"--lease=3s", [](ShardOptions* shard) { shard->lease = absl::Seconds(3); }},
  };
  const auto first = *Server::Start(Options(0, 2));
  for (const auto& [setting, change] : cases) {
    ServerOptions options = Options(1, 2);
    change(&options.shard);
    const auto second = *Server::Start(options);
    const auto joined = TryJoin({first->address(), second->address()}, 0, kSettings);
    ExpectRefused(joined, absl::StrCat("server ", second->address(), " has ", setting));
    ExpectRefused(joined, absl::StrCat("but server ", first->address(), " has ", setting.substr(0, setting.find('='))));
  }
  const auto second = *Server::Start(Options(1, 2));
  EXPECT_TRUE(TryJoin({first->address(), second->address()}, 0, kSettings).ok());
}

}  // namespace
}  // namespace cddp
