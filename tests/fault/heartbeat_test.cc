// Who counts as lost is decided by heartbeats; nothing but the worker's own silence may keep them back.

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/transport/channel.h"
#include "tests/fault/server_process.h"
#include "tests/fault/training.h"
#include "worker/cluster/grpc_cluster.h"

namespace cddp {
namespace {

TEST(HeartbeatTest, ServersThatStandStillDoNotKeepTheOthersFromHearing) {
  constexpr uint32_t kServers = 5;  // one after the other, four heartbeats would take longer than the lease
  std::vector<std::unique_ptr<ServerProcess>> servers;
  GrpcClusterOptions options;
  for (uint32_t shard = 0; shard < kServers; ++shard) {
    std::vector<std::string> flags = TrainingServerFlags(shard, kServers);
    flags.push_back("--lease=3s");
    servers.push_back(std::make_unique<ServerProcess>(std::move(flags)));
    options.addresses.push_back(servers.back()->address());
  }
  options.worker_count = kTrainingWorkers;
  absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(options, TrainingLayout());
  ASSERT_TRUE(client.ok()) << client.status();

  const auto status = [&](uint32_t shard) {
    grpc::ClientContext context;
    v1::StatusResponse response;
    const auto stub = v1::ParameterServer::NewStub(CreateChannel(servers[shard]->address()));
    EXPECT_TRUE(stub->Status(&context, {}, &response).ok());
    return response;
  };
  const auto await_heartbeat = [&](uint32_t shard, uint64_t step) {  // which tells the step
    while (!HasFailure() && status(shard).workers(0).step() != step) absl::SleepFor(absl::Milliseconds(5));
  };
  (*client)->NoteProgress(1, 0);
  for (uint32_t shard = 0; shard < kServers; ++shard) await_heartbeat(shard, 1);  // the connections are made
  constexpr uint32_t kHears = kServers - 1;
  const uint64_t view = status(kHears).view();
  for (uint32_t shard = 0; shard < kHears; ++shard) servers[shard]->Signal(SIGSTOP);
  for (uint64_t step = 2; step <= 5; ++step) {
    (*client)->NoteProgress(step, 0);
    await_heartbeat(kHears, step);
  }
  EXPECT_EQ(status(kHears).view(), view) << "the worker was lost in between";
  EXPECT_EQ(status(kHears).workers(0).state(), v1::WorkerStatus::JOINED);
  for (uint32_t shard = 0; shard < kHears; ++shard) servers[shard]->Signal(SIGCONT);
}

}  // namespace
}  // namespace cddp
