// A network that loses connections, and servers that stand still: training goes on, and the weights end as if nothing
// had happened, bit for bit.

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/fault/child.h"
#include "tests/fault/server_process.h"
#include "tests/fault/tcp_proxy.h"
#include "tests/fault/training.h"
#include "worker/buckets/host_buckets.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {
namespace {

constexpr uint32_t kServers = 2;

class NetworkTest : public ::testing::Test {
 protected:
  using Servers = std::vector<std::unique_ptr<ServerProcess>>;

  static Servers StartServers(const std::string& lease) {
    Servers servers;
    for (uint32_t shard = 0; shard < kServers; ++shard) {
      std::vector<std::string> flags = TrainingServerFlags(shard, kServers);
      flags.push_back("--lease=" + lease);
      servers.push_back(std::make_unique<ServerProcess>(std::move(flags)));
    }
    return servers;
  }

  std::vector<float> Undisturbed() const {
    const Servers servers = StartServers("60s");
    return Train({{servers[0]->address(), servers[1]->address()}, steps_}, [](const auto&) {})[0];
  }

  void ExpectEqual(const std::vector<std::vector<float>>& weights, const std::vector<float>& expected) const {
    ASSERT_FALSE(expected.empty());
    for (uint32_t rank = 0; rank < kTrainingWorkers; ++rank) {
      EXPECT_TRUE(weights[rank] == expected) << "rank " << rank << ", seed " << seed_;
    }
  }

  const uint64_t seed_ = Setting("CDDP_FAULT_SEED", 1);
  const uint64_t cuts_ = Setting("CDDP_FAULT_KILLS", 8);
  const uint64_t steps_ = Setting("CDDP_FAULT_STEPS", 150);
};

TEST_F(NetworkTest, ConnectionsThatAreCutOrRefusedChangeNothing) {
  const std::vector<float> expected = Undisturbed();
  const Servers servers = StartServers("60s");
  std::vector<std::unique_ptr<TcpProxy>> proxies;
  for (const auto& server : servers) proxies.push_back(std::make_unique<TcpProxy>(server->address()));
  int connections = 0;
  uint64_t moments = 0;
  const auto weights =
      Train({{proxies[0]->address(), proxies[1]->address()}, steps_}, [&](const std::atomic<uint64_t>& done_steps) {
        std::mt19937_64 random(seed_);
        const uint64_t all = steps_ * kTrainingWorkers;
        for (uint64_t cut = 0; cut < cuts_; ++cut) {
          // A random moment of this cut's part of the run, and of the step.
          AwaitSteps(done_steps, (cut * all + random() % all) / (cuts_ + 1));
          absl::SleepFor(absl::Microseconds(random() % 2000));
          TcpProxy& proxy = *proxies[random() % kServers];
          const bool refuse = cut % 4 == 3;
          if (refuse) proxy.Refuse();
          connections += proxy.Cut();
          if (refuse) {
            absl::SleepFor(absl::Seconds(1));
            proxy.Accept();
          }
          ++moments;
          AwaitSteps(done_steps, std::min(done_steps + 1, all));
        }
      });
  ExpectEqual(weights, expected);
  EXPECT_GE(connections, static_cast<int>(cuts_)) << "a cut that finds nothing to cut tests nothing";
  printf("result network_cuts %lu cuts\n", static_cast<unsigned long>(moments));
  printf("result network_connections_cut %d connections\n", connections);
}

// As a name does that has two addresses, or a pod's address that another pod gets.
TEST_F(NetworkTest, AnAddressThatLeadsToAnotherServerForAWhileChangesNothing) {
  const std::vector<float> expected = Undisturbed();
  const Servers servers = StartServers("60s");
  TcpProxy proxy(servers[0]->address());
  const auto weights =
      Train({{proxy.address(), servers[1]->address()}, steps_}, [&](const std::atomic<uint64_t>& done_steps) {
        AwaitSteps(done_steps, kTrainingWorkers * steps_ / 3);
        proxy.Lead(servers[1]->address());
        EXPECT_GT(proxy.Cut(), 0);
        absl::SleepFor(absl::Seconds(2));   // of calls that the wrong server refuses, and heartbeats
        proxy.Lead(servers[0]->address());  // the wrong connections are not cut: the workers must leave them
      });
  ExpectEqual(weights, expected);
}

// A worker's patience is for a server that is away, not for a round that waits for others.
TEST_F(NetworkTest, ShortOutagesWhileARoundWaitsAreNotOneLongOne) {
  std::vector<std::string> flags = TrainingServerFlags(0, 1);
  flags.push_back("--lease=3s");
  const ServerProcess server(std::move(flags));
  TcpProxy proxy(server.address());
  const ParameterLayout layout = TrainingLayout();
  std::vector<std::unique_ptr<GrpcCluster>> clients;
  for (uint32_t rank = 0; rank < kTrainingWorkers; ++rank) {
    GrpcClusterOptions options;
    options.addresses = {proxy.address()};
    options.rank = rank;
    options.worker_count = kTrainingWorkers;
    options.incarnation = 1;
    options.server_timeout = absl::Seconds(4);  // a busy machine needs a while to connect again
    absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(options, layout);
    ASSERT_TRUE(client.ok()) << client.status();
    clients.push_back(*std::move(client));
  }
  const auto initialise = [&](uint32_t rank) {
    auto exchange = MakeHostExchange(layout, {CompressorOptions{}, 1, 0}, clients[rank].get());
    std::vector<float> weights(layout.total_elements(), 0.5F);
    const absl::Status status = (*exchange)->Initialise(absl::MakeSpan(weights), rank == 0);
    EXPECT_TRUE(status.ok()) << "rank " << rank << ": " << status;
  };
  std::vector<std::thread> ranks;
  ranks.emplace_back(initialise, 0);
  for (int outage = 0; outage < 2; ++outage) {
    absl::SleepFor(absl::Seconds(6));  // longer than a refusal takes, and than a worker's patience
    EXPECT_GT(proxy.Cut(), 0);
  }
  for (uint32_t rank = 1; rank < kTrainingWorkers; ++rank) ranks.emplace_back(initialise, rank);
  for (std::thread& rank : ranks) rank.join();
}

TEST_F(NetworkTest, AServerThatStoodStillForLongerThanTheLeaseLosesNobody) {
  const std::vector<float> expected = Undisturbed();
  const Servers servers = StartServers("5s");
  const auto weights = Train({{servers[0]->address(), servers[1]->address()}, steps_}, [&](const auto& done_steps) {
    AwaitSteps(done_steps, kTrainingWorkers * steps_ / 3);
    servers[0]->Signal(SIGSTOP);
    absl::SleepFor(absl::Seconds(7));
    servers[0]->Signal(SIGCONT);
  });
  ExpectEqual(weights, expected);
}

}  // namespace
}  // namespace cddp
