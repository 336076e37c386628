// Checkpoints of a cluster that trains: one version at all servers, which can be read and gone back to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "deploy/ctl/checkpoint_client.h"
#include "server/server.h"
#include "tests/support/temp_folder.h"
#include "worker/buckets/host_buckets.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kServers = 2;

class ClusterCheckpointTest : public ::testing::Test {
 protected:
  void StartServers(uint64_t restore_version = 0, uint64_t checkpoint_every = 0) {
    servers_.clear();
    addresses_.clear();
    for (uint32_t shard = 0; shard < kServers; ++shard) {
      ServerOptions options;
      options.metrics_listen = "";
      options.shard.shard = shard;
      options.shard.shard_count = kServers;
      options.shard.publish.ratio = 0.2;
      options.shard.state_dir = (folder_ / std::to_string(shard)).string();
      options.shard.restore_version = restore_version;
      options.shard.checkpoint_every = checkpoint_every;
      options.shard.keep_checkpoints = checkpoint_every == 0 ? 10 : 2;
      absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
      ASSERT_TRUE(server.ok()) << server.status();
      addresses_.push_back((*server)->address());
      servers_.push_back(*std::move(server));
    }
  }

  // One worker makes steps until it is told to end.
  void Train(const std::atomic<bool>& end) {
    GrpcClusterOptions options;
    options.addresses = addresses_;
    auto client = GrpcCluster::Join(options, layout_);
    ASSERT_TRUE(client.ok()) << client.status();
    CompressorOptions compressor;
    compressor.ratio = 0.2;
    auto exchange = MakeHostExchange(layout_, {compressor}, client->get());
    std::vector<float> weights(layout_.total_elements(), 1);
    ASSERT_TRUE((*exchange)->Initialise(absl::MakeSpan(weights), true).ok());
    std::vector<float> gradient(weights.size());
    while (!end) {
      for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = weights[i] - 0.001F * static_cast<float>(i);
      ASSERT_TRUE((*exchange)->Step(gradient, absl::MakeSpan(weights)).ok());
    }
  }

  std::vector<float> Published() {
    std::vector<float> all;
    for (const auto& server : servers_) {
      const BucketRun run = *server->shard().buckets();
      for (uint32_t bucket = run.begin; bucket < run.end; ++bucket) {
        const auto part = server->shard().Read(bucket);
        EXPECT_TRUE(part.ok()) << part.status();
        all.insert(all.end(), part->weights.begin(), part->weights.end());
      }
    }
    return all;
  }

  const ParameterLayout layout_ = *ParameterLayout::Create({{"a", {40, 20}}, {"b", {70}}}, 128);
  const TempFolder folder_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::string> addresses_;
};

TEST_F(ClusterCheckpointTest, AreOfOneVersionAndCanBeReadAndGoneBackTo) {
  StartServers();
  std::atomic<bool> end = false;
  std::thread worker([&] { Train(end); });
  while (!servers_[1]->shard().buckets().has_value() || servers_[1]->shard().status().min_version < 5) {
    std::this_thread::yield();
  }
  ctl::CheckpointClient client(addresses_, nullptr, absl::Seconds(30));
  const absl::StatusOr<uint64_t> version = client.Make();
  EXPECT_TRUE(version.ok()) << version.status();
  const absl::StatusOr<uint64_t> later = client.Make();
  EXPECT_TRUE(later.ok()) << later.status();
  end = true;
  worker.join();
  ASSERT_TRUE(version.ok() && later.ok());
  EXPECT_GT(*later, *version);

  const absl::StatusOr<ctl::ClusterWeights> read = client.Read(*version);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->layout.fingerprint(), layout_.fingerprint());
  const absl::Status missing = client.Read(*version + 1).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()), HasSubstr(std::to_string(*version)));

  StartServers(*version);
  for (const auto& server : servers_) {
    EXPECT_EQ(server->shard().status().min_version, *version);
    EXPECT_EQ(server->shard().status().max_version, *version);
  }
  EXPECT_TRUE(Published() == read->weights);
}

TEST_F(ClusterCheckpointTest, AreMadeEverySoManyVersionsAndTheNewestKept) {
  StartServers(0, 10);
  std::atomic<bool> end = false;
  std::thread worker([&] { Train(end); });
  const auto checkpoints = [this] {
    std::vector<uint64_t> versions;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "0")) {
      const std::string name = entry.path().filename();
      if (name.rfind("checkpoint-", 0) == 0 && entry.path().extension() != ".new") {
        versions.push_back(std::stoull(name.substr(11)));
      }
    }
    std::sort(versions.begin(), versions.end());
    return versions;
  };
  std::vector<uint64_t> found;
  do {
    std::this_thread::yield();
    found = checkpoints();
  } while (found.size() < 2 || found.front() < 20);
  end = true;
  worker.join();
  servers_.clear();
  found = checkpoints();
  EXPECT_EQ(found.size(), 2u);
  for (const uint64_t version : found) EXPECT_EQ(version % 10, 0u);
}

TEST_F(ClusterCheckpointTest, AClusterThatStandsStillIsKeptAsItIsOrSaysWhatItLacks) {
  StartServers();
  ctl::CheckpointClient client(addresses_, nullptr, absl::Seconds(30));
  const absl::Status empty = client.Make().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(empty)) << empty;
  std::atomic<bool> end = true;
  Train(end);
  const absl::StatusOr<uint64_t> version = client.Make();
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_EQ(*version, 1u);
  ctl::CheckpointClient half({addresses_[0]}, nullptr, absl::Seconds(1));
  EXPECT_TRUE(absl::IsInvalidArgument(half.Make().status()));
  EXPECT_TRUE(absl::IsInvalidArgument(half.Read(1).status()));
}

TEST_F(ClusterCheckpointTest, WorkersThatAreGoneInMidStepLeaveAModel) {
  StartServers();
  {
    GrpcClusterOptions options;
    options.addresses = addresses_;
    auto client = GrpcCluster::Join(options, layout_);
    ASSERT_TRUE(client.ok()) << client.status();
    auto exchange = MakeHostExchange(layout_, {}, client->get());
    std::vector<float> weights(layout_.total_elements(), 1);
    ASSERT_TRUE((*exchange)->Initialise(absl::MakeSpan(weights), true).ok());
    Push push;
    push.bucket = 1;
    push.step = push.base_version = 1;
    std::promise<absl::Status> pushed;
    (*client)->Exchange({push},
                        [&](uint32_t, const absl::StatusOr<PushReply>& reply) { pushed.set_value(reply.status()); });
    EXPECT_TRUE(pushed.get_future().get().ok());
    (*client)->Leave(/*finished=*/false);
  }
  ctl::CheckpointClient client(addresses_, nullptr, absl::Seconds(30));
  const absl::Status made = client.Make().status();
  EXPECT_TRUE(absl::IsAborted(made)) << made;
  EXPECT_THAT(std::string(made.message()), HasSubstr("the parts of the model are at versions 1 to 2"));
  const absl::StatusOr<ctl::ClusterWeights> read = client.Read(0);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->weights, Published());
}

}  // namespace
}  // namespace cddp
