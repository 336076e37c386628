#include "tests/fault/training.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "worker/buckets/host_buckets.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {
namespace {

absl::StatusOr<std::vector<float>> TrainWorker(const TrainingOptions& training, uint32_t rank,
                                               std::atomic<uint64_t>* done_steps) {
  const ParameterLayout layout = TrainingLayout();
  GrpcClusterOptions options;
  options.addresses = training.addresses;
  options.rank = rank;
  options.worker_count = kTrainingWorkers;
  options.incarnation = 1;
  options.server_timeout = training.server_timeout;
  std::vector<float> weights(layout.total_elements(), 0.5F);
  absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(options, layout);
  if (!client.ok()) return client.status();
  CompressorOptions compressor;
  compressor.ratio = 0.05;
  auto exchange = MakeHostExchange(layout, {compressor, 1, 0}, client->get());
  if (!exchange.ok()) return exchange.status();
  if (absl::Status status = (*exchange)->Initialise(absl::MakeSpan(weights), rank == 0); !status.ok()) return status;
  std::mt19937 random(rank);
  std::normal_distribution<float> normal;
  std::vector<float> gradient(weights.size());
  for (uint64_t step = 1; step <= training.steps; ++step) {
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = weights[i] + normal(random);
    const absl::StatusOr<StepTraffic> traffic = (*exchange)->Step(gradient, absl::MakeSpan(weights));
    if (!traffic.ok()) return traffic.status();
    ++*done_steps;
  }
  return weights;
}

}  // namespace

ParameterLayout TrainingLayout() {
  return *ParameterLayout::Create({{"a", {3000}}, {"b", {70, 50}}, {"c", {10}}}, 1024);
}

std::vector<std::string> TrainingServerFlags(uint32_t shard, uint32_t shards) {
  return {absl::StrCat("--shard=", shard),
          absl::StrCat("--shards=", shards),
          absl::StrCat("--workers=", kTrainingWorkers),
          "--publish_ratio=0.05",
          "--lr=0.1",
          "--momentum=0.9"};
}

std::vector<std::vector<float>> Train(const TrainingOptions& options,
                                      const std::function<void(const std::atomic<uint64_t>&)>& disturb) {
  std::vector<std::vector<float>> weights(kTrainingWorkers);
  if (options.errors != nullptr) options.errors->assign(kTrainingWorkers, absl::OkStatus());
  std::atomic<uint64_t> done_steps = 0;
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < kTrainingWorkers; ++rank) {
    threads.emplace_back([&, rank] {
      absl::StatusOr<std::vector<float>> trained = TrainWorker(options, rank, &done_steps);
      if (trained.ok()) {
        weights[rank] = *std::move(trained);
      } else if (options.errors != nullptr) {
        (*options.errors)[rank] = trained.status();
      } else {
        ADD_FAILURE() << "rank " << rank << ": " << trained.status();
      }
    });
  }
  disturb(done_steps);
  for (std::thread& thread : threads) thread.join();
  return weights;
}

void AwaitSteps(const std::atomic<uint64_t>& done_steps, uint64_t steps) {
  while (done_steps < steps && !::testing::Test::HasFailure()) absl::SleepFor(absl::Microseconds(100));
}

}  // namespace cddp
