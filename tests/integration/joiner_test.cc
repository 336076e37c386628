// A worker that joins a running training: the others go on while it reads the weights, and wait for it from then on.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "common/codec/update_codec.h"
#include "tests/integration/local_cluster.h"
#include "tests/integration/quadratic.h"
#include "tests/support/eventually.h"
#include "worker/buckets/host_buckets.h"

namespace cddp {
namespace {

class JoinerTest : public ::testing::TestWithParam<Consistency> {
 protected:
  struct Worker {
    uint32_t rank;
    std::vector<float> weights;
    std::unique_ptr<GrpcCluster> client;
    std::unique_ptr<GradientExchange> exchange;
  };

  JoinerTest()
      : layout_(Layout()),
        problem_(2, layout_.total_elements()),
        options_(Options()),
        servers_(options_),
        first_(Start(0)) {
    Worker second = Start(1);
    std::thread other([&] {
      ASSERT_TRUE(second.exchange->Initialise(absl::MakeSpan(second.weights), false).ok());
      Run(second, 3);
    });
    EXPECT_TRUE(first_.exchange->Initialise(absl::MakeSpan(first_.weights), true).ok());
    Run(first_, 3);
    other.join();
    second.client->Leave(/*finished=*/false);
  }

  static LocalClusterOptions Options() {
    LocalClusterOptions options;
    options.servers = 2;
    options.lease = absl::Minutes(10);  // nobody is lost
    options.consistency.mode = GetParam();
    options.consistency.max_staleness = 1;
    options.optimizer = PlainSgd(/*lr=*/0.05);
    options.push = options.publish = TopK(0.05);
    return options;
  }

  Worker Start(uint32_t rank) const {
    Worker worker = {rank, Noise(layout_.total_elements(), 7),
                     *GrpcCluster::Join(servers_.ClientOptions(rank), layout_), nullptr};
    worker.exchange = *MakeHostExchange(layout_, {options_.push, 1, 0}, worker.client.get());
    return worker;
  }

  void Run(Worker& worker, int steps) const {
    std::vector<float> gradient(layout_.total_elements());
    for (int i = 0; i < steps; ++i) {
      problem_.gradient()(worker.rank, 0, worker.weights, absl::MakeSpan(gradient));
      const absl::StatusOr<StepTraffic> traffic = worker.exchange->Step(gradient, absl::MakeSpan(worker.weights));
      ASSERT_TRUE(traffic.ok()) << traffic.status();
    }
  }

  // A worker that stands still fails the test.
  void ExpectToRun(Worker& worker, int steps) const {
    const uint64_t begin = worker.exchange->step();
    std::thread runs([&] { Run(worker, steps); });
    const bool done = Eventually([&] { return Made(worker, begin) >= steps; }, absl::Seconds(30));
    EXPECT_TRUE(done) << "it waits";
    if (!done) worker.exchange->Cancel();
    runs.join();
  }

  // Steps that the servers have counted from the worker.
  int64_t Made(const Worker& worker, uint64_t begin) const {
    int64_t made = INT64_MAX;
    for (uint32_t shard = 0; shard < options_.servers; ++shard) {
      const Member member = servers_.server(shard).shard().status().members[worker.rank];
      made = std::min<int64_t>(made, static_cast<int64_t>(member.step) - static_cast<int64_t>(begin) + 1);
    }
    return made;
  }

  MemberPart Part(uint32_t shard, uint32_t rank) const {
    return servers_.server(shard).shard().status().members[rank].part;
  }

  const ParameterLayout layout_;
  const Quadratic problem_;
  const LocalClusterOptions options_;
  mutable LocalServers servers_;
  Worker first_;
};

INSTANTIATE_TEST_SUITE_P(Modes, JoinerTest, ::testing::Values(Consistency::kSync, Consistency::kStale),
                         [](const auto& info) { return info.param == Consistency::kSync ? "Sync" : "Stale"; });

TEST_P(JoinerTest, TheOthersGoOnWhileItReads) {
  Worker joiner = Start(1);
  std::vector<uint64_t> held(layout_.bucket_count());
  bool ran = false;
  const auto take = [&](const Cluster::PublishedBucket& published) {
    if (!std::exchange(ran, true)) ExpectToRun(first_, 5);
    EXPECT_EQ(published.weights.size(), layout_.bucket_length(published.bucket));
    std::copy(published.weights.begin(), published.weights.end(),
              joiner.weights.begin() + layout_.bucket_range(published.bucket).begin);
    held[published.bucket] = published.version;
    return absl::OkStatus();
  };
  ASSERT_TRUE(joiner.client->ReadSnapshot({}, take).ok());
  EXPECT_EQ(Part(0, 1), MemberPart::kCatchingUp);
  EXPECT_GT(servers_.server(0).shard().status().members[1].read_bytes, 0u);

  // What has changed since is less than the weights.
  ExpectToRun(first_, 1);
  const absl::Status read = joiner.client->ReadSnapshot(held, [&](const Cluster::PublishedBucket& published) {
    const ElementRange range = layout_.bucket_range(published.bucket);
    const auto own = absl::MakeSpan(joiner.weights).subspan(range.begin, range.size());
    if (!published.weights.empty()) std::copy(published.weights.begin(), published.weights.end(), own.begin());
    for (const SharedBytes& update : published.updates) EXPECT_TRUE(AddUpdate(update.view(), own).ok());
    EXPECT_TRUE(published.weights.empty()) << "less has changed";
    return absl::OkStatus();
  });
  ASSERT_TRUE(read.ok()) << read;
  EXPECT_EQ(joiner.weights, first_.weights);
  EXPECT_EQ(Part(1, 1), MemberPart::kCatchingUp);
  ASSERT_TRUE(joiner.client->TakePart().ok());
  EXPECT_EQ(Part(0, 1), MemberPart::kContributes);
  EXPECT_EQ(Part(1, 1), MemberPart::kContributes);
}

TEST_P(JoinerTest, TheyWaitForItOnceItHasCaughtUp) {
  ExpectToRun(first_, 1);  // and has all that the other gave
  Worker joiner = Start(1);
  ASSERT_TRUE(joiner.exchange->CatchUp(absl::MakeSpan(joiner.weights)).ok());
  EXPECT_EQ(joiner.weights, first_.weights);
  std::thread runs([&] { Run(first_, 40); });
  const auto waits_for_it = [&] {
    if (GetParam() == Consistency::kStale) return servers_.server(0).shard().status().members[0].step > 4;
    return servers_.server(0).shard().status().waiting.ranks == std::vector<uint32_t>{1};
  };
  EXPECT_TRUE(Eventually(waits_for_it));
  // A reading that comes late changes nothing: it contributes.
  Run(joiner, 1);
  EXPECT_TRUE(joiner.client->ReadSnapshot({}, [](const Cluster::PublishedBucket&) { return absl::OkStatus(); }).ok());
  EXPECT_EQ(Part(0, 1), MemberPart::kContributes);
  Run(joiner, 39);
  runs.join();
  EXPECT_TRUE(GetParam() != Consistency::kSync || joiner.weights == first_.weights);
}

// The weights change while it catches up, on every server at other moments.
TEST_P(JoinerTest, CatchesUpWithOthersThatTrain) {
  std::thread runs([&] { Run(first_, 400); });
  for (int process = 0; process < 5; ++process) {
    Worker joiner = Start(1);
    ASSERT_TRUE(joiner.exchange->CatchUp(absl::MakeSpan(joiner.weights)).ok());
    Run(joiner, 5);
    joiner.client->Leave(/*finished=*/false);
  }
  runs.join();
}

}  // namespace
}  // namespace cddp
