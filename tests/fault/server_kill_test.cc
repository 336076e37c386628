// Servers that are killed at any moment and started again: no answered version is lost, and the weights end as if
// nothing had happened, bit for bit.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/channel.h"
#include "common/transport/healthcheck.h"
#include "tests/fault/child.h"
#include "tests/fault/server_process.h"
#include "tests/fault/training.h"
#include "tests/support/temp_folder.h"
#include "worker/cluster/grpc_cluster.h"

namespace cddp {
namespace {

constexpr uint32_t kServers = 2;

class ServerKillTest : public ::testing::Test {
 protected:
  std::vector<std::unique_ptr<ServerProcess>> StartServers(const std::string& run) {
    std::vector<std::unique_ptr<ServerProcess>> servers;
    for (uint32_t shard = 0; shard < kServers; ++shard) {
      const std::filesystem::path state = folder_ / run / absl::StrCat(shard);
      std::filesystem::create_directories(state);
      std::vector<std::string> flags = TrainingServerFlags(shard, kServers);
      flags.push_back("--state_dir=" + state.string());
      servers.push_back(std::make_unique<ServerProcess>(std::move(flags)));
    }
    return servers;
  }

  // Trains all workers; calls `disturb` meanwhile, with the count of steps that have been made.
  std::vector<std::vector<float>> Run(const std::vector<std::unique_ptr<ServerProcess>>& servers,
                                      const std::function<void(const std::atomic<uint64_t>&)>& disturb) {
    std::vector<std::string> addresses;
    for (const auto& server : servers) addresses.push_back(server->address());
    return cddp::Train({addresses, steps_}, disturb);
  }

  const uint64_t steps_ = Setting("CDDP_FAULT_STEPS", 150);
  const TempFolder folder_;
};

TEST_F(ServerKillTest, WeightsEndAsIfNothingHadHappened) {
  const uint64_t seed = Setting("CDDP_FAULT_SEED", 1);
  const uint64_t kills = Setting("CDDP_FAULT_KILLS", 6);
  RecordProperty("seed", static_cast<int>(seed));
  const auto calm = Run(StartServers("calm"), [](const auto&) {});

  const auto servers = StartServers("kills");
  std::vector<double> pauses;
  uint64_t lost = 0;
  const auto disturbed = Run(servers, [&](const std::atomic<uint64_t>& done_steps) {
    std::mt19937_64 random(seed);
    const uint64_t all = steps_ * kTrainingWorkers;
    for (uint64_t kill = 0; kill < kills; ++kill) {
      // A random moment of this kill's part of the run, and of the step.
      const uint64_t at = (kill * all + random() % all) / (kills + 1);
      AwaitSteps(done_steps, at);
      absl::SleepFor(absl::Microseconds(random() % 2000));
      ServerProcess& server = *servers[random() % kServers];
      const absl::Time begin = absl::Now();
      server.Kill();
      server.Start();
      const uint64_t before = done_steps;
      AwaitSteps(done_steps, std::min(before + 1, all));
      pauses.push_back(absl::ToDoubleSeconds(absl::Now() - begin));
      if (HasFailure()) ++lost;  // a server that answers with less than it had: workers get FailedPrecondition
    }
  });
  for (uint32_t rank = 0; rank < kTrainingWorkers; ++rank) {
    EXPECT_FALSE(calm[rank].empty());
    EXPECT_TRUE(disturbed[rank] == calm[0]) << "rank " << rank << ", seed " << seed;
  }
  std::sort(pauses.begin(), pauses.end());
  printf("result kills %zu kills\n", pauses.size());
  printf("result lost_versions %lu versions\n", static_cast<unsigned long>(lost));
  printf("result weights_equal %d bool\n",
         disturbed[0] == calm[0] && disturbed[1] == calm[0] && disturbed[2] == calm[0]);
  printf("result pause_median %.3f s\n", pauses[pauses.size() / 2]);
  printf("result pause_max %.3f s\n", pauses.back());
}

// What a rolling update does: each server is asked to end, completes its rounds, and its successor goes on.
TEST_F(ServerKillTest, ServersThatAreAskedToEndDoSoCleanlyAndTheirSuccessorsGoOn) {
  const uint64_t ends = Setting("CDDP_FAULT_KILLS", 6);
  const auto calm = Run(StartServers("calm"), [](const auto&) {});
  const auto servers = StartServers("ends");
  const auto disturbed = Run(servers, [&](const std::atomic<uint64_t>& done_steps) {
    const uint64_t all = steps_ * kTrainingWorkers;
    for (uint64_t end = 0; end < ends; ++end) {
      AwaitSteps(done_steps, (end + 1) * all / (ends + 2));
      ServerProcess& server = *servers[end % kServers];
      server.Signal(SIGTERM);
      const int status = server.Wait();
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "wait status " << status;
      server.Start();
      const uint64_t before = done_steps;
      AwaitSteps(done_steps, std::min(before + 1, all));
    }
  });
  for (uint32_t rank = 0; rank < kTrainingWorkers; ++rank) {
    EXPECT_FALSE(calm[rank].empty());
    EXPECT_TRUE(disturbed[rank] == calm[0]) << "rank " << rank;
  }
}

TEST_F(ServerKillTest, ASecondSignalEndsAServerThatStillWaits) {
  const auto servers = StartServers("second");
  GrpcClusterOptions options;
  for (const auto& server : servers) options.addresses.push_back(server->address());
  options.worker_count = kTrainingWorkers;
  absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(options, TrainingLayout());
  ASSERT_TRUE(client.ok()) << client.status();
  std::atomic<bool> ended = false;
  (*client)->Exchange({{0, 0, 0, {}}}, [&](uint32_t, const auto&) { ended = true; });
  const auto health = [&] {
    return CheckHealth(servers[0]->address(), grpc::InsecureChannelCredentials(), absl::Seconds(20));
  };
  const auto waiting = [&] {
    v1::StatusResponse response;
    grpc::ClientContext context;
    const auto stub = v1::ParameterServer::NewStub(CreateChannel(servers[0]->address()));
    EXPECT_TRUE(stub->Status(&context, {}, &response).ok());
    return response.waiting_for_size() != 0;
  };
  while (!waiting()) absl::SleepFor(absl::Milliseconds(1));
  servers[0]->Signal(SIGTERM);
  while (health().ok()) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_FALSE(ended) << "it waits for the other workers";
  servers[0]->Signal(SIGTERM);
  const int status = servers[0]->Wait();
  // One that had come to the end of its --drain_timeout would have exited.
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << "wait status " << status;
}

}  // namespace
}  // namespace cddp
