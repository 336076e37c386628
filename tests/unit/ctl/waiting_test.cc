#include "deploy/ctl/waiting.h"

#include <gtest/gtest.h>

namespace cddp::ctl {
namespace {

ServerStatus WaitsFor(const std::vector<uint32_t>& ranks, uint64_t ms) {
  v1::StatusResponse response;
  for (const uint32_t rank : ranks) response.add_waiting_for(rank);
  response.set_waiting_ms(ms);
  return {"a:1", response, absl::UnixEpoch()};
}

const ServerStatus kSilent = {"a:1", absl::UnavailableError("no"), absl::UnixEpoch()};

TEST(WaitingTest, NamesWhomTheClusterWaitsFor) {
  EXPECT_EQ(DescribeWaiting({WaitsFor({2}, 11000), WaitsFor({2}, 10000)}, absl::Seconds(12)),
            "no step for 12.0 s: the servers wait for worker 2, for 11.0 s");
  EXPECT_EQ(DescribeWaiting({WaitsFor({3}, 11000), kSilent}, absl::Seconds(12)),
            "no step for 12.0 s: server 1 does not answer; the servers wait for worker 3, for 11.0 s");
  EXPECT_EQ(DescribeWaiting({kSilent, kSilent}, absl::Seconds(12)), "no step for 12.0 s: servers 0, 1 do not answer");
  EXPECT_EQ(DescribeWaiting({WaitsFor({}, 0)}, absl::Seconds(90)),
            "no step for 1 min 30 s: the servers answer and wait for nobody: the workers compute, or are starting");
  ServerStatus full = WaitsFor({}, 0);
  full.response->set_trouble("state/journal-0: the disk is full");
  EXPECT_EQ(DescribeWaiting({full}, absl::Seconds(12)),
            "no step for 12.0 s: server 0: state/journal-0: the disk is full");
}

}  // namespace
}  // namespace cddp::ctl
