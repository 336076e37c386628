#include "worker/model/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cddp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

DeviceChoice Choice(const char* text) {
  DeviceChoice choice;
  std::string error;
  EXPECT_TRUE(AbslParseFlag(text, &choice, &error)) << error;
  EXPECT_EQ(AbslUnparseFlag(choice), text);
  return choice;
}

GpusFound Gpus(int count) { return {absl::OkStatus(), count, true}; }

const GpusFound kNotBuilt = {absl::UnimplementedError("no CUDA"), 0, true};
const GpusFound kNoGpu = {absl::UnavailableError("no CUDA-capable device is detected"), 0, true};
const GpusFound kNoLibTorch = {absl::OkStatus(), 2, false};

TEST(DeviceTest, TheFlagTakesNothingElse) {
  for (const char* text : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", "cpu:0"}) {
    DeviceChoice choice;
    std::string error;
    EXPECT_FALSE(AbslParseFlag(text, &choice, &error)) << text;
    EXPECT_THAT(error, HasSubstr("cuda:N"));
  }
}

TEST(DeviceTest, TheProcessorsNeedNothing) {
  for (const GpusFound& found : {kNotBuilt, kNoGpu, kNoLibTorch, Gpus(8)}) {
    EXPECT_EQ(ChooseDevice(Choice("cpu"), 3, found)->device, Device());
  }
}

TEST(DeviceTest, WorkersShareTheGpusThatAreThere) {
  std::vector<std::string> names;
  for (uint32_t rank = 0; rank < 5; ++rank) names.push_back(Name(ChooseDevice(Choice("cuda"), rank, Gpus(2))->device));
  EXPECT_THAT(names, ::testing::ElementsAre("cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"));
  EXPECT_EQ(Name(ChooseDevice(Choice("auto"), 3, Gpus(4))->device), "cuda:3");
  EXPECT_EQ(Name(ChooseDevice(Choice("cuda:1"), 0, Gpus(2))->device), "cuda:1");
}

TEST(DeviceTest, ARefusalSaysWhyAndWhatToDo) {
  for (const char* asked : {"cuda", "cuda:0"}) {
    const auto refusal = [&](const GpusFound& found) {
      const absl::Status status = ChooseDevice(Choice(asked), 0, found).status();
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
      EXPECT_THAT(status.message(), AllOf(HasSubstr("--device="), HasSubstr("--device=cpu")));
      return std::string(status.message());
    };
    EXPECT_THAT(refusal(kNotBuilt), HasSubstr("built without CUDA"));
    EXPECT_THAT(refusal(kNoGpu), AllOf(HasSubstr("no CUDA-capable device is detected"), HasSubstr("nvidia-smi")));
    EXPECT_THAT(refusal(kNoLibTorch), HasSubstr("LibTorch without CUDA"));
  }
  EXPECT_THAT(std::string(ChooseDevice(Choice("cuda:2"), 0, Gpus(2)).status().message()),
              HasSubstr("there are only 2 GPUs here"));
}

TEST(DeviceTest, AutoGoesOnWithoutAGpuAndSaysWhy) {
  for (const GpusFound& found : {kNotBuilt, kNoGpu, kNoLibTorch}) {
    const absl::StatusOr<ChosenDevice> chosen = ChooseDevice(Choice("auto"), 0, found);
    ASSERT_TRUE(chosen.ok());
    EXPECT_EQ(chosen->device, Device());
    EXPECT_THAT(chosen->reason, HasSubstr("--device=auto, and "));
  }
}

TEST(DeviceTest, CopiesOfTheHostsAreCopies) {
  const std::vector<float> from = {1, 2, 3};
  std::vector<float> to(3);
  ASSERT_TRUE(CopyFromHost(Device(), from, absl::MakeSpan(to)).ok());
  EXPECT_EQ(to, from);
  EXPECT_EQ(*OnHost(Device(), to), from);
}

}  // namespace
}  // namespace cddp
