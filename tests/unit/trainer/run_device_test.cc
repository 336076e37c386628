#include "worker/trainer/run_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cddp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const GpusFound kTwoGpus = {absl::OkStatus(), 2, true};

TrainerOptions Options(DeviceChoice::Kind kind, double ratio) {
  TrainerOptions options;
  options.device.kind = kind;
  options.exchange.compressor.ratio = ratio;
  options.cluster.rank = 1;
  return options;
}

TEST(RunDeviceTest, IsTheChosenOne) {
  for (const auto kind : {DeviceChoice::Kind::kCuda, DeviceChoice::Kind::kAuto}) {
    EXPECT_EQ(Name(RunDevice(Options(kind, 0.01), kTwoGpus)->device), "cuda:1");
  }
  EXPECT_EQ(Name(RunDevice(Options(DeviceChoice::Kind::kCpu, 1), kTwoGpus)->device), "cpu");
  EXPECT_FALSE(RunDevice(Options(DeviceChoice::Kind::kCuda, 0.01), {absl::UnavailableError("none"), 0, true}).ok());
}

TEST(RunDeviceTest, DenseGradientsAreNotDoneOnAGpu) {
  const absl::StatusOr<ChosenDevice> automatic = RunDevice(Options(DeviceChoice::Kind::kAuto, 1), kTwoGpus);
  EXPECT_EQ(automatic->device, Device());
  EXPECT_THAT(automatic->reason, HasSubstr("--ratio=1"));
  const absl::Status status = RunDevice(Options(DeviceChoice::Kind::kCuda, 1), kTwoGpus).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("--nocompress"), HasSubstr("--device=cpu")));
}

}  // namespace
}  // namespace cddp
