// Workers that are all started alike get their ranks from the cluster.

#include "worker/cluster/rank_claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/sync/mutex.h"
#include "tests/integration/local_cluster.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParameterLayout Layout() { return *ParameterLayout::Create({{"w", {64}}}, 16); }

GrpcClusterOptions Fresh(const LocalServers& servers) {
  GrpcClusterOptions options = servers.ClientOptions(0);
  options.incarnation = PresentIncarnation();
  return options;
}

TEST(RankClaimTest, WorkersThatStartTogetherGetARankEach) {
  LocalClusterOptions cluster;
  cluster.workers = 8;
  cluster.servers = 2;
  LocalServers servers(cluster);
  GrpcClusterOptions options = Fresh(servers);  // one incarnation for all: the worst case
  Mutex mutex;
  std::multiset<uint32_t> ranks;
  std::vector<std::unique_ptr<GrpcCluster>> clients;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < cluster.workers; ++i) {
    threads.emplace_back([&] {
      GrpcClusterOptions mine = options;
      const absl::StatusOr<uint32_t> rank = ClaimRank(mine);
      ASSERT_TRUE(rank.ok()) << rank.status();
      mine.rank = *rank;
      auto client = GrpcCluster::Join(mine, Layout());
      ASSERT_TRUE(client.ok()) << client.status();
      MutexLock lock(mutex);
      ranks.insert(*rank);
      clients.push_back(*std::move(client));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(ranks, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));

  options.server_timeout = absl::Seconds(2);  // of which the last try must be answered, also by a busy machine
  const absl::Status ninth = ClaimRank(options).status();
  EXPECT_TRUE(absl::IsUnavailable(ninth));
  EXPECT_THAT(std::string(ninth.message()), HasSubstr("all 8 ranks are taken"));
}

TEST(RankClaimTest, ASuccessorWaitsForTheDeadOnesLeaseAndTakesItsRank) {
  LocalClusterOptions cluster;
  cluster.workers = 1;
  cluster.lease = absl::Milliseconds(500);
  LocalServers servers(cluster);
  GrpcClusterOptions first = Fresh(servers);
  ASSERT_EQ(*ClaimRank(first), 0u);
  ASSERT_TRUE(GrpcCluster::Join(first, Layout()).ok());  // and is gone without a word

  const absl::Time death = absl::Now();
  GrpcClusterOptions second = Fresh(servers);
  const absl::StatusOr<uint32_t> rank = ClaimRank(second);
  ASSERT_TRUE(rank.ok()) << rank.status();
  EXPECT_EQ(*rank, 0u);
  EXPECT_GE(absl::Now() - death, absl::Milliseconds(400)) << "before the lease was over";
  auto client = GrpcCluster::Join(second, Layout());
  ASSERT_TRUE(client.ok()) << client.status();
  (*client)->Leave(/*finished=*/true);
  EXPECT_TRUE(absl::IsFailedPrecondition(ClaimRank(Fresh(servers)).status())) << "all have finished";
}

TEST(RankClaimTest, AServerOutOfReachIsNamed) {
  GrpcClusterOptions options;
  options.addresses = {"127.0.0.1:1"};
  options.server_timeout = absl::Milliseconds(200);
  const absl::Status status = ClaimRank(options).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("server 127.0.0.1:1"));
}

}  // namespace
}  // namespace cddp
