#include "worker/model/dropout.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace cddp {
namespace {

TEST(DropoutTest, TheDevicesMaskIsTheHostsBitForBit) {
  for (const double probability : {0.25, 0.5, 0.0}) {
    uint64_t host_state = 0xfedcba9876543210, device_state = host_state;
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{3, 5}, {64}, {1}, {7, 9, 11}}) {
      const torch::Tensor host = HostDropoutMask(&host_state, sizes, probability);
      const torch::Tensor device = DeviceDropoutMask(&device_state, sizes, probability, torch::kCPU);
      EXPECT_TRUE(torch::equal(host, device)) << sizes.size() << " dimensions at " << probability;
      EXPECT_EQ(host_state, device_state);
    }
  }
}

TEST(DropoutTest, DropsThePartThatWasAskedFor) {
  uint64_t state = 7;
  const torch::Tensor mask = DeviceDropoutMask(&state, {100'000}, 0.25, torch::kCPU);
  EXPECT_NEAR(mask.eq(0).to(torch::kFloat).mean().item<double>(), 0.25, 0.01);
  EXPECT_NEAR(mask.mean().item<double>(), 1, 0.02);
}

}  // namespace
}  // namespace cddp
