// The device's compressor against the CPU's: the same bytes, residuals and reports, on the emulated device and, where
// there is one, on a GPU.

#include "worker/cuda/device_compressor.h"

#include <cfloat>
#include <cmath>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/codec/random_updates.h"
#include "tests/unit/cuda/emulated_device.h"
#include "worker/cuda/cuda_pipeline.h"
#include "worker/cuda/cuda_stream.h"

namespace cddp {
namespace {

struct TestedDevice {
  const char* name;
  DeviceCompressor::PipelineFactory make_pipeline;

  friend void PrintTo(const TestedDevice& device, std::ostream* to) { *to << device.name; }
};

class DeviceCompressorTest : public testing::TestWithParam<TestedDevice> {
 protected:
  void SetUp() override {
    if (std::string(GetParam().name) != "Cuda") return;
    if (absl::Status status = CudaAvailable(); !status.ok()) GTEST_SKIP() << "NOT RUN ON A GPU: " << status;
  }

  absl::StatusOr<std::unique_ptr<DeviceCompressor>> Create(uint32_t length, const CompressorOptions& options) {
    return DeviceCompressor::Create(length, options, GetParam().make_pipeline);
  }
};

// A compressor of each kind, with residuals of their own.
class Pair {
 public:
  Pair(uint32_t length, const CompressorOptions& options, const DeviceCompressor::PipelineFactory& make_pipeline)
      : cpu_(*BucketCompressor::Create(length, options)),
        device_(*DeviceCompressor::Create(length, options, make_pipeline)),
        residual_(length),
        input_on_device_(device_->pipeline().Allocate(length)),
        residual_on_device_(device_->pipeline().Allocate(length)) {}

  void SetResidual(const std::vector<float>& residual) { residual_ = residual; }

  // Compresses with both and compares all there is.
  void Step(const std::vector<float>& input) {
    const auto length = static_cast<uint32_t>(input.size());
    device::DevicePipeline& pipeline = device_->pipeline();
    double compensated_sq = 0;
    for (uint32_t i = 0; i < length; ++i) compensated_sq += std::pow(double{input[i]} + residual_[i], 2);
    ASSERT_TRUE(pipeline.CopyToDevice(input.data(), length, input_on_device_));
    ASSERT_TRUE(pipeline.CopyToDevice(residual_.data(), length, residual_on_device_));
    ASSERT_TRUE(device_->Start(input_on_device_, residual_on_device_).ok());
    absl::string_view update;
    const absl::StatusOr<CompressResult> result = device_->Finish(&update);
    std::vector<float> left(length);
    ASSERT_TRUE(pipeline.CopyFromDevice(residual_on_device_, length, left.data()));

    std::string expected_update;
    const absl::StatusOr<CompressResult> expected = cpu_->Compress(input, absl::MakeSpan(residual_), &expected_update);
    ASSERT_EQ(result.status().code(), expected.status().code()) << result.status();
    if (expected.status().code() == absl::StatusCode::kFailedPrecondition) return;  // the residual is lost
    ASSERT_EQ(std::memcmp(left.data(), residual_.data(), length * sizeof(float)), 0) << "residuals differ";
    if (!expected.ok()) return;
    ASSERT_TRUE(update == expected_update) << update.size() << " and " << expected_update.size() << " bytes";
    EXPECT_EQ(result->selected, expected->selected);
    EXPECT_EQ(result->threshold, expected->threshold);
    if (compensated_sq < 1e37) {  // the estimate is made of float squares
      EXPECT_NEAR(result->residual_sq, expected->residual_sq, 1e-4 * compensated_sq + 1e-30);
    }
  }

 private:
  std::unique_ptr<BucketCompressor> cpu_;
  std::unique_ptr<DeviceCompressor> device_;
  std::vector<float> residual_;
  float* const input_on_device_;
  float* const residual_on_device_;
};

CompressorOptions Options(double ratio, ValueEncoding encoding = ValueEncoding::kFp16) {
  CompressorOptions options;
  options.ratio = ratio;
  options.value_encoding = encoding;
  return options;
}

// Inputs whose scale jumps and that vanish at times, so that the carried threshold is often wrong.
std::vector<float> InputOfStep(uint32_t length, uint32_t step) {
  constexpr float kScales[] = {1, 1.01f, 1, 100, 1e-6f, 1, 0, 0, 3, 1e-42f, 1e30f, 1, 1};
  std::vector<float> input = RandomValues(length, false, step);
  for (float& value : input) value *= kScales[step % std::size(kScales)];
  return input;
}

TEST_P(DeviceCompressorTest, AnyRatioAndLength) {
  for (uint32_t length : {2u, 255u, 1000u, 4096u, 4097u, 70001u}) {
    for (double ratio : {1e-9, 0.001, 0.01, 0.1, 0.5, 0.999999}) {
      SCOPED_TRACE(testing::Message() << length << " elements, ratio " << ratio);
      Pair pair(length, Options(ratio), GetParam().make_pipeline);
      for (uint32_t step = 0; step < 3; ++step) pair.Step(RandomValues(length, false, length + step));
    }
  }
}

TEST_P(DeviceCompressorTest, EveryValueEncoding) {
  for (ValueEncoding encoding : kAllValueEncodings) {
    for (double ratio : {0.0005, 0.02, 0.3}) {
      SCOPED_TRACE(testing::Message() << Name(encoding) << ", ratio " << ratio);
      Pair pair(40011, Options(ratio, encoding), GetParam().make_pipeline);
      for (uint32_t step = 0; step < 14; ++step) pair.Step(InputOfStep(40011, step));
    }
  }
}

TEST_P(DeviceCompressorTest, AnyDistribution) {
  constexpr uint32_t kLength = 50000;
  const auto step = [](double ratio, const std::vector<float>& input) {
    Pair pair(kLength, Options(ratio, ValueEncoding::kInt4), GetParam().make_pipeline);
    for (int i = 0; i < 3; ++i) pair.Step(input);
  };
  std::vector<float> values = RandomValues(kLength, false, 1);
  for (float& value : values) value = std::exp(5 * value);
  step(0.01, values);
  step(0.01, RandomValues(kLength, true, 2));
  step(0.1, std::vector<float>(kLength, -7));  // all equal
  for (uint32_t i = 0; i < kLength; ++i) values[i] = i % 3 == 0 ? 2.0f : 1.0f;
  step(0.01, values);  // a tie far larger than k
  step(0.5, values);
  std::fill(values.begin(), values.end(), 0.0f);
  values.back() = 1;
  step(0.00002, values);  // one index after many escapes
}

TEST_P(DeviceCompressorTest, AlwaysSentSlices) {
  for (Selection selection : {Selection::kTopK, Selection::kThreshold}) {
    for (const std::vector<BucketSlice>& slices : std::vector<std::vector<BucketSlice>>{
             {{0, 1}}, {{0, 100}, {100, 164}, {5000, 9064}, {19990, 20000}}, {{0, 20000}}, {{0, 19999}}, {{7, 7}}}) {
      CompressorOptions options = Options(0.01);
      options.selection = selection;
      options.always_sent = slices;
      Pair pair(20000, options, GetParam().make_pipeline);
      for (uint32_t step = 0; step < 4; ++step) pair.Step(RandomValues(20000, false, step));
    }
  }
}

TEST_P(DeviceCompressorTest, ThresholdSelection) {
  CompressorOptions options = Options(0.01, ValueEncoding::kTernary);
  options.selection = Selection::kThreshold;
  Pair pair(50000, options, GetParam().make_pipeline);
  for (uint32_t step = 0; step < 28; ++step) {
    SCOPED_TRACE(step);
    pair.Step(step < 14 ? RandomValues(50000, false, step) : InputOfStep(50000, step));
  }
}

TEST_P(DeviceCompressorTest, NonFiniteNumbers) {
  Pair pair(10000, Options(0.01, ValueEncoding::kFp32), GetParam().make_pipeline);
  for (float bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
    std::vector<float> input = RandomValues(10000, false, 1);
    pair.Step(input);
    input[9999] = bad;
    pair.Step(input);  // refused, and nothing has changed
  }
  std::vector<float> huge(10000, 1);
  huge[3] = huge[500] = FLT_MAX;
  huge[999] = -FLT_MAX;
  pair.SetResidual(huge);
  pair.Step(huge);  // sums saturate
  huge[4] = std::nanf("");
  pair.SetResidual(huge);
  pair.Step(std::vector<float>(10000, 1));  // an error of its own
}

TEST_P(DeviceCompressorTest, SaysWhatItDoesNotDo) {
  CompressorOptions options = Options(1);
  EXPECT_EQ(Create(100, options).status().code(), absl::StatusCode::kUnimplemented);
  options.ratio = 0.1;
  options.index_encoding = IndexEncoding::kRice;
  EXPECT_EQ(Create(100, options).status().code(), absl::StatusCode::kUnimplemented);
  options.ratio = 2;
  EXPECT_EQ(Create(100, options).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceCompressorTest,
                         testing::Values(TestedDevice{"Emulated", MakeEmulatedPipeline},
                                         TestedDevice{"Cuda", MakeCudaPipeline}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace cddp
