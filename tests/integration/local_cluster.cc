#include "tests/integration/local_cluster.h"

#include <gtest/gtest.h>

#include "worker/buckets/host_buckets.h"
#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#include <barrier>
#include <cstring>
#include <thread>

namespace cddp {

LocalServers::LocalServers(const LocalClusterOptions& options) : options_(options) {
  for (uint32_t shard = 0; shard < options.servers; ++shard) {
    ServerOptions server_options;
    server_options.metrics_listen = "";
    server_options.shard.shard = shard;
    server_options.shard.shard_count = options.servers;
    server_options.shard.worker_count = options.workers;
    server_options.shard.lease = options.lease;
    server_options.shard.consistency = options.consistency;
    server_options.shard.optimizer = options.optimizer;
    server_options.shard.publish = options.publish;
    server_options.shard.log_versions = options.log_versions;
    server_options.shard.small_tensor_elements = options.small_tensor_elements;
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(server_options);
    if (!server.ok()) {
      ADD_FAILURE() << server.status();
      return;
    }
    addresses_.push_back((*server)->address());
    servers_.push_back(*std::move(server));
  }
}

GrpcClusterOptions LocalServers::ClientOptions(uint32_t rank) const {
  GrpcClusterOptions client;
  client.addresses = addresses_;
  client.rank = rank;
  client.worker_count = options_.workers;
  client.server_timeout = absl::Seconds(30);
  // One that knows the run takes the place of one that has not left.
  const std::string run = servers_.empty() ? "" : servers_.front()->shard().run();
  if (!run.empty()) client.run = {run, RunClaim::kNamed};
  return client;
}

namespace {

// Of the calling thread and those that it starts from now on.
void FlushDenormals() {
#ifdef __SSE2__
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}

void ExpectPublished(LocalServers& servers, uint32_t count, const ParameterLayout& layout,
                     absl::Span<const float> replica) {
  for (uint32_t shard = 0; shard < count; ++shard) {
    const BucketRun run = *servers.server(shard).shard().buckets();
    for (uint32_t bucket = run.begin; bucket < run.end; ++bucket) {
      const auto published = servers.server(shard).shard().Read(bucket);
      ASSERT_TRUE(published.ok()) << published.status();
      const auto ours = replica.subspan(layout.bucket_range(bucket).begin, layout.bucket_length(bucket));
      EXPECT_EQ(std::memcmp(ours.data(), published->weights.data(), ours.size() * sizeof(float)), 0)
          << "bucket " << bucket << " of the replicas is not what the server has published";
    }
  }
}

}  // namespace

LocalRun RunLocalCluster(const LocalClusterOptions& options, const ParameterLayout& layout,
                         const std::vector<float>& initial, uint64_t steps, const GradientFunction& gradient) {
  LocalServers servers(options);
  LocalRun run;
  run.residuals.resize(options.workers);
  std::vector<std::vector<float>> weights(options.workers, std::vector<float>(layout.total_elements()));
  weights[0] = initial;

  std::barrier all_done(static_cast<std::ptrdiff_t>(options.workers));
  const auto work = [&](uint32_t rank) {
    if (options.flush_denormals) FlushDenormals();
    absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(servers.ClientOptions(rank), layout);
    ASSERT_TRUE(client.ok()) << client.status();
    absl::StatusOr<std::unique_ptr<GradientExchange>> exchange =
        MakeHostExchange(layout, {options.push, options.residual_decay, options.small_tensor_elements}, client->get());
    ASSERT_TRUE(exchange.ok()) << exchange.status();
    const absl::Status initialised = (*exchange)->Initialise(absl::MakeSpan(weights[rank]), rank == 0);
    ASSERT_TRUE(initialised.ok()) << initialised;
    std::vector<float> gradients(layout.total_elements());
    for (uint64_t step = 1; step <= steps; ++step) {
      gradient(rank, step, weights[rank], absl::MakeSpan(gradients));
      absl::StatusOr<StepTraffic> traffic = (*exchange)->Step(gradients, absl::MakeSpan(weights[rank]));
      ASSERT_TRUE(traffic.ok()) << traffic.status();
      if (rank == 0) run.last_traffic = *traffic;
    }
    (*client)->Leave(/*finished=*/true);  // the others' rounds need not wait for this worker
    if (options.consistency.mode != Consistency::kSync || options.consistency.quorum != 0) {
      // Replicas end at different versions; they must be equal once they are at the same.
      all_done.arrive_and_wait();
      const absl::Status caught_up = (*exchange)->CatchUp(absl::MakeSpan(weights[rank]));
      ASSERT_TRUE(caught_up.ok()) << caught_up;
    }
    run.residuals[rank] = (*exchange)->State().engine.residual;
  };
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < options.workers; ++rank) threads.emplace_back(work, rank);
  for (std::thread& thread : threads) thread.join();

  for (uint32_t rank = 1; rank < options.workers; ++rank) {
    EXPECT_EQ(weights[rank], weights[0]) << "replica of rank " << rank;
  }
  ExpectPublished(servers, options.servers, layout, weights[0]);
  run.weights = weights[0];
  return run;
}

}  // namespace cddp
