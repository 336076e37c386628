// The device's engine against the host's: the same bits, on the emulated device and, where there is one, on a GPU.

#include "worker/cuda/device_buckets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <string>
#include <vector>

#include "tests/unit/cuda/twin_engines.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

ParameterLayout Layout(uint64_t elements, uint64_t bucket_elements) {
  return *ParameterLayout::Create({{"weight", {static_cast<int64_t>(elements)}}}, bucket_elements);
}

// Weights and biases, of which the latter are small.
ParameterLayout LayoutWithSmallTensors() {
  return *ParameterLayout::Create(
      {{"a", {9000}}, {"a.bias", {100}}, {"b", {4000}}, {"b.bias", {64}}, {"norm", {7}}, {"c", {11111}}, {"d", {3}}},
      4096);
}

GradientCompressorOptions Options(double ratio, ValueEncoding encoding = ValueEncoding::kInt4) {
  GradientCompressorOptions options;
  options.compressor.ratio = ratio;
  options.compressor.value_encoding = encoding;
  return options;
}

// Gradients whose scale jumps and that vanish at times, so that the carried threshold is often wrong.
std::vector<float> GradientOf(size_t elements, uint64_t step) {
  constexpr float kScales[] = {1, 1.01f, 1, 100, 1e-6f, 1, 0, 0, 3, 1e-42f, 1e30f, 1, 1};
  std::vector<float> gradient = RandomValues(elements, false, static_cast<uint32_t>(step));
  for (float& value : gradient) value *= kScales[step % std::size(kScales)];
  return gradient;
}

class DeviceBucketsTest : public testing::TestWithParam<EngineDeviceKind> {
 protected:
  void SetUp() override {
    if (std::string(GetParam().name) != "Cuda") return;
    if (absl::Status status = CudaAvailable(); !status.ok()) GTEST_SKIP() << "NOT RUN ON A GPU: " << status;
  }

  void Run(const ParameterLayout& layout, const GradientCompressorOptions& options, uint64_t steps) {
    TwinEngines twins(GetParam(), layout, options);
    for (uint64_t step = 1; step <= steps && !HasFailure(); ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      twins.Step(step, GradientOf(layout.total_elements(), step));
    }
  }
};

TEST_P(DeviceBucketsTest, AnyRatioAndLength) {
  for (const auto& [elements, bucket] : std::vector<std::pair<uint64_t, uint64_t>>{
           {2, 2}, {255, 100}, {4096, 4096}, {8195, 4097}, {70001, 70001}, {30000, 997}}) {
    for (double ratio : {1e-9, 0.001, 0.01, 0.1, 0.5, 0.999999}) {
      SCOPED_TRACE(testing::Message() << elements << " elements, buckets of " << bucket << ", ratio " << ratio);
      Run(Layout(elements, bucket), Options(ratio), 3);
    }
  }
}

TEST_P(DeviceBucketsTest, EveryValueEncoding) {
  for (ValueEncoding encoding : kAllValueEncodings) {
    for (double ratio : {0.0005, 0.02, 0.3}) {
      SCOPED_TRACE(testing::Message() << Name(encoding) << ", ratio " << ratio);
      Run(Layout(40011, 16384), Options(ratio, encoding), 14);
    }
  }
}

TEST_P(DeviceBucketsTest, EveryIndexEncoding) {
  for (IndexEncoding encoding : kSparseIndexEncodings) {
    SCOPED_TRACE(testing::Message() << Name(encoding));
    GradientCompressorOptions options = Options(0.05);
    options.compressor.index_encoding = encoding;
    Run(Layout(20000, 5000), options, 4);
  }
}

TEST_P(DeviceBucketsTest, MoreBucketsThanABatchTakes) { Run(Layout(3000, 10), Options(0.1), 3); }

TEST_P(DeviceBucketsTest, SmallTensorsAreSentWhole) {
  for (Selection selection : {Selection::kTopK, Selection::kThreshold}) {
    GradientCompressorOptions options = Options(0.01);
    options.compressor.selection = selection;
    for (uint64_t small : {50, 200, 5000, 1000000}) {
      SCOPED_TRACE(small);
      options.small_tensor_elements = small;
      Run(LayoutWithSmallTensors(), options, 6);
    }
  }
}

TEST_P(DeviceBucketsTest, BuffersAreSentAsTheyAre) {
  const ParameterLayout layout = *ParameterLayout::Create(
      {{"weight", {5000}}, {"mean", {300}, TensorKind::kBuffer}, {"variance", {100}, TensorKind::kBuffer}}, 1000);
  GradientCompressorOptions options = Options(0.1);
  options.momentum_correction = 0.5;
  options.clip_norm = 10;
  TwinEngines twins(GetParam(), layout, options);
  for (uint64_t step = 1; step <= 8 && !HasFailure(); ++step) {
    std::vector<float> gradient = GradientOf(layout.total_elements(), step);
    if (step == 5) gradient[5100] = NAN;
    twins.Step(step, gradient, /*finite_loss=*/step != 7);
  }
}

// Its results depend on the threshold that each bucket carries.
TEST_P(DeviceBucketsTest, ThresholdSelection) {
  GradientCompressorOptions options = Options(0.01, ValueEncoding::kTernary);
  options.compressor.selection = Selection::kThreshold;
  TwinEngines twins(GetParam(), Layout(50000, 20000), options);
  for (uint64_t step = 1; step <= 30 && !HasFailure(); ++step) {
    SCOPED_TRACE(step);
    twins.Step(step, step < 15 ? RandomValues(50000, false, static_cast<uint32_t>(step)) : GradientOf(50000, step));
    if (step % 7 == 0) twins.SwapStates();
  }
}

TEST_P(DeviceBucketsTest, EverythingBeforeCompression) {
  GradientCompressorOptions options = Options(0.02);
  options.momentum_correction = 0.9;
  options.clip_norm = 20;
  Run(Layout(30000, 7000), options, 14);
  options.clip_norm = 0;
  options.residual_decay = 0.75;
  Run(Layout(30000, 7000), options, 14);
  options.momentum_correction = 0;
  options.clip_norm = 1e-3;
  options.ratio_warmup_steps = 8;
  Run(LayoutWithSmallTensors(), options, 14);
}

TEST_P(DeviceBucketsTest, AStateGoesOn) {
  GradientCompressorOptions options = Options(0.01);
  options.momentum_correction = 0.5;
  options.ratio_warmup_steps = 4;
  TwinEngines twins(GetParam(), Layout(20000, 6000), options);
  for (uint64_t step = 1; step <= 8 && !HasFailure(); ++step) {
    twins.Step(step, GradientOf(20000, step));
    twins.SwapStates();
  }
  BucketEngineState state = twins.twin().State();
  state.residual.pop_back();
  EXPECT_THAT(std::string(twins.twin().SetState(state).message()), HasSubstr("another model"));
  state = twins.twin().State();
  state.velocity.clear();
  EXPECT_THAT(std::string(twins.twin().SetState(state).message()), HasSubstr("--momentum_correction"));
}

TEST_P(DeviceBucketsTest, AnyDistribution) {
  constexpr uint32_t kLength = 50000;
  const auto run = [](double ratio, const std::vector<float>& gradient) {
    TwinEngines twins(GetParam(), Layout(kLength, 25000), Options(ratio));
    for (uint64_t step = 1; step <= 3 && !HasFailure(); ++step) twins.Step(step, gradient);
  };
  std::vector<float> values = RandomValues(kLength, false, 1);
  for (float& value : values) value = std::exp(5 * value);
  run(0.01, values);
  run(0.01, RandomValues(kLength, true, 2));
  run(0.1, std::vector<float>(kLength, -7));  // all equal
  for (uint32_t i = 0; i < kLength; ++i) values[i] = i % 3 == 0 ? 2.0f : 1.0f;
  run(0.01, values);  // a tie far larger than k
  run(0.5, values);
  std::fill(values.begin(), values.end(), 0.0f);
  values.back() = 1;
  run(0.00002, values);  // one index after many escapes
}

TEST_P(DeviceBucketsTest, NonFiniteGradientsChangeNothing) {
  for (const double decay : {1.0, 0.5}) {
    GradientCompressorOptions options = Options(0.01);
    options.residual_decay = decay;
    options.momentum_correction = decay == 1 ? 0 : 0.9;
    TwinEngines twins(GetParam(), Layout(30000, 7000), options);
    for (uint64_t step = 1; step <= 9 && !HasFailure(); ++step) {
      std::vector<float> gradient = RandomValues(30000, false, static_cast<uint32_t>(step));
      constexpr float kBad[] = {NAN, HUGE_VALF, -HUGE_VALF};
      if (step % 3 != 0) gradient[(step * 3511) % 30000] = kBad[step % 3];
      twins.Step(step, gradient);
    }
  }
}

TEST_P(DeviceBucketsTest, ALossThatIsNotFiniteChangesNothing) {
  GradientCompressorOptions options = Options(0.01);
  options.momentum_correction = 0.9;
  TwinEngines twins(GetParam(), Layout(30000, 7000), options);
  for (uint64_t step = 1; step <= 6 && !HasFailure(); ++step) {
    twins.Step(step, GradientOf(30000, step), /*finite_loss=*/step % 2 == 0);
  }
}

TEST_P(DeviceBucketsTest, SumsSaturate) {
  for (Selection selection : {Selection::kTopK, Selection::kThreshold}) {
    GradientCompressorOptions options = Options(0.01, ValueEncoding::kFp16);
    options.compressor.selection = selection;
    TwinEngines twins(GetParam(), Layout(10000, 5000), options);
    std::vector<float> huge = RandomValues(10000, false, 1);
    huge[3] = huge[500] = FLT_MAX;
    huge[9999] = -FLT_MAX;
    for (uint64_t step = 1; step <= 6 && !HasFailure(); ++step) twins.Step(step, huge);
  }
}

TEST_P(DeviceBucketsTest, RepliesThatAreNoUpdates) {
  TwinEngines twins(GetParam(), Layout(20000, 5000), Options(0.01));
  twins.Step(1, GradientOf(20000, 1));
  std::vector<float> weights(20000);
  for (uint32_t bucket = 0; bucket < 4; ++bucket) {
    PushReply reply;
    reply.updates = {twins.RandomUpdate(5000), SharedBytes::Own("no update"), twins.RandomUpdate(5000)};
    twins.Apply(bucket, reply, {});
  }
  twins.AwaitApplied();
  twins.CompareStates();
}

TEST_P(DeviceBucketsTest, LongReplies) {
  TwinEngines twins(GetParam(), Layout(20000, 10000), Options(0.01));
  twins.Step(1, GradientOf(20000, 1));
  for (uint32_t bucket = 0; bucket < 2; ++bucket) {
    PushReply reply;
    for (int i = 0; i < 300; ++i) reply.updates.push_back(twins.RandomUpdate(10000));
    twins.Apply(bucket, reply, {});
  }
  twins.AwaitApplied();
  twins.CompareStates();
}

TEST_P(DeviceBucketsTest, WeightsBetweenSteps) {
  const ParameterLayout layout = Layout(1000, 300);
  const std::unique_ptr<EngineDevice> device = GetParam().make();
  const std::shared_ptr<float> weights = device->Array(1000);
  const std::unique_ptr<CudaBuckets> engine = *device->MakeBuckets(layout, Options(0.1), 1);
  engine->Bind({}, {weights.get(), 1000});
  std::vector<float> expected(1000);
  for (uint32_t bucket = 0; bucket < 4; ++bucket) {
    const ElementRange range = layout.bucket_range(bucket);
    const std::vector<float> values = RandomValues(range.size(), true, bucket);
    if (bucket == 2) {
      engine->ClearWeights(bucket);
    } else {
      engine->SetWeights(bucket, values);
      std::copy(values.begin(), values.end(), expected.begin() + static_cast<ptrdiff_t>(range.begin));
    }
  }
  EXPECT_TRUE(SameBits(device->Read(weights.get(), 1000), expected));
  for (uint32_t bucket = 0; bucket < 4; ++bucket) {
    const ElementRange range = layout.bucket_range(bucket);
    std::string update;
    std::vector<float> values(expected.begin() + static_cast<ptrdiff_t>(range.begin),
                              expected.begin() + static_cast<ptrdiff_t>(range.end));
    EncodeDense(absl::MakeSpan(values), ValueEncoding::kFp32, &update);
    EXPECT_TRUE(engine->EncodeWeights(bucket).view() == update);
  }
}

TEST_P(DeviceBucketsTest, BucketsThatAreReadyTogetherAreOneBatch) {
  const ParameterLayout layout = Layout(100000, 2000);
  const std::unique_ptr<EngineDevice> device = GetParam().make();
  const std::shared_ptr<float> gradients = device->Array(100000), weights = device->Array(100000);
  const std::unique_ptr<CudaBuckets> engine = *device->MakeBuckets(layout, Options(0.01), 1);
  device->Write(gradients.get(), RandomValues(100000, false, 1));
  Results<EncodedBucket> encoded(50);
  Results<absl::Status> applied(50);
  for (uint64_t step = 1; step <= 3; ++step) {
    engine->Bind({gradients.get(), 100000}, {weights.get(), 100000});
    engine->BeginGradients(step);
    const ReadyToken token = device->MakeToken();
    for (uint32_t bucket = 0; bucket < 50; ++bucket) {
      engine->Encode(bucket, token, false, [&, bucket](const EncodedBucket& result) { encoded.Put(bucket, result); });
    }
    engine->Flush();
    device->SetReady(token);
    for (uint32_t bucket = 0; bucket < 50; ++bucket) {
      engine->Apply(bucket, {.version = step, .updates = {encoded.Await(bucket).update}}, {},
                    [&, bucket](const absl::Status& status) { applied.Put(bucket, status); });
    }
    engine->Flush();
    for (uint32_t bucket = 0; bucket < 50; ++bucket) EXPECT_TRUE(applied.Await(bucket).ok());
    EXPECT_TRUE(engine->WaitForWeights(nullptr).ok());
  }
  const CudaCounts counts = engine->counts();
  EXPECT_EQ(counts.encode_batches, 3u);
  EXPECT_EQ(counts.apply_batches, 3u);
  EXPECT_EQ(counts.synchronising, 0u);
}

TEST_P(DeviceBucketsTest, SaysWhatItDoesNotDo) {
  const std::unique_ptr<EngineDevice> device = GetParam().make();
  const auto make = [&](const GradientCompressorOptions& options) {
    return device->MakeBuckets(Layout(100, 10), options, 1).status();
  };
  EXPECT_EQ(make(Options(1)).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(make(Options(1)).message()), HasSubstr("--ratio=1"));
  EXPECT_EQ(make(Options(2)).code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceBucketsTest, testing::Values(kEmulatedKind, kCudaKind),
                         [](const auto& info) { return std::string(info.param.name); });

// What only the emulated device can show.

TEST(EmulatedDeviceTest, NothingWaitsForTheModelsStreamWithinAStep) {
  EmulatedEngineDevice device;
  const ParameterLayout layout = Layout(20000, 2000);
  const std::unique_ptr<CudaBuckets> engine = *device.MakeBuckets(layout, Options(0.01), 1);
  const std::vector<float> gradients = RandomValues(20000, false, 1);
  std::vector<float> weights(20000);
  const uint64_t before = device.device().synchronised();
  Results<EncodedBucket> encoded(10);
  Results<absl::Status> applied(10);
  for (uint64_t step = 1; step <= 3; ++step) {
    engine->Bind(gradients, absl::MakeSpan(weights));
    engine->BeginGradients(step);
    const ReadyToken token = device.MakeToken();
    for (uint32_t bucket = 0; bucket < 10; ++bucket) {
      engine->Encode(bucket, token, true, [&, bucket](const EncodedBucket& result) { encoded.Put(bucket, result); });
    }
    engine->Flush();
    device.SetReady(token);
    for (uint32_t bucket = 0; bucket < 10; ++bucket) {
      engine->Apply(bucket, {.version = step, .updates = {encoded.Await(bucket).update}}, {},
                    [&, bucket](const absl::Status& status) { applied.Put(bucket, status); });
    }
    engine->Flush();
    for (uint32_t bucket = 0; bucket < 10; ++bucket) EXPECT_TRUE(applied.Await(bucket).ok());
    EXPECT_TRUE(engine->WaitForWeights(nullptr).ok());
  }
  EXPECT_EQ(device.device().synchronised(), before);
  EXPECT_EQ(device.device().model_waits(), 0u);
  EXPECT_EQ(device.device().held_streams(), 3u);
  device.device().Drain();
}

// The backward pass is queued long before it is made: what is ready late must not keep back what is ready early.
TEST(EmulatedDeviceTest, WhatIsReadyLateKeepsNothingBack) {
  EmulatedEngineDevice device;
  const std::unique_ptr<CudaBuckets> engine = *device.MakeBuckets(Layout(30, 10), Options(0.1), 1);
  const std::vector<float> gradients = RandomValues(30, false, 1);
  std::vector<float> weights(30);
  Results<EncodedBucket> encoded(3);
  const auto encode = [&](uint32_t bucket, const ReadyToken& token) {
    engine->Encode(bucket, token, false, [&, bucket](const EncodedBucket& result) { encoded.Put(bucket, result); });
  };
  engine->Bind(gradients, absl::MakeSpan(weights));
  engine->BeginGradients(1);
  const ReadyToken early = device.MakeToken(), late = device.MakeToken();
  encode(2, early);
  encode(1, late);
  encode(0, late);
  engine->Flush();
  device.SetReady(early);
  EXPECT_TRUE(encoded.Await(2).finite);
  device.SetReady(late);
  EXPECT_TRUE(encoded.Await(1).finite && encoded.Await(0).finite);
  EXPECT_EQ(engine->counts().encode_batches, 2u);
}

// The model may still read the weights of a bucket that has no gradient in this step.
TEST(EmulatedDeviceTest, ARefusedStepsReplyWaitsForTheModel) {
  EmulatedEngineDevice device;
  const std::unique_ptr<CudaBuckets> engine = *device.MakeBuckets(Layout(20, 10), Options(0.1), 1);
  std::vector<float> weights(20), values(10, 1);
  PushReply reply;
  std::string update;
  EncodeDense(absl::MakeSpan(values), ValueEncoding::kFp32, &update);
  reply.updates = {SharedBytes::Own(update)};
  Results<absl::Status> applied(2);
  engine->Bind({}, absl::MakeSpan(weights));
  engine->Apply(1, reply, {}, [&](const absl::Status& status) { applied.Put(1, status); });
  engine->Flush();
  EXPECT_TRUE(applied.Await(1).ok());
  EXPECT_EQ(device.device().model_waits(), 1u);
  EXPECT_EQ(device.Read(weights.data(), 20)[15], 1);
}

// A device that fails in the middle of anything: every call is answered, and the error is told.
TEST(EmulatedDeviceTest, ADevicesErrorIsTold) {
  const ParameterLayout layout = Layout(20000, 2000);
  const std::vector<float> gradients = RandomValues(20000, false, 1);
  std::vector<float> weights(20000);
  for (uint64_t operation = 1; operation < 60; ++operation) {
    EmulatedEngineDevice device;
    const std::unique_ptr<CudaBuckets> engine = *device.MakeBuckets(layout, Options(0.01), 1);
    device.device().FailFrom(operation);
    Results<EncodedBucket> encoded(10);
    Results<absl::Status> applied(10);
    bool all_finite = true;
    absl::Status status;
    for (uint64_t step = 1; step <= 3; ++step) {
      engine->Bind(gradients, absl::MakeSpan(weights));
      engine->BeginGradients(step);
      for (uint32_t bucket = 0; bucket < 10; ++bucket) {
        engine->Encode(bucket, nullptr, true,
                       [&, bucket](const EncodedBucket& result) { encoded.Put(bucket, result); });
      }
      engine->Flush();
      for (uint32_t bucket = 0; bucket < 10; ++bucket) {
        const EncodedBucket result = encoded.Await(bucket);
        all_finite &= result.finite;
        PushReply reply;
        if (result.finite) reply.updates = {result.update};
        engine->Apply(bucket, reply, {}, [&, bucket](const absl::Status& of) { applied.Put(bucket, of); });
      }
      engine->Flush();
      for (uint32_t bucket = 0; bucket < 10; ++bucket) status.Update(applied.Await(bucket));
      status.Update(engine->WaitForWeights(nullptr));
    }
    if (status.ok()) {
      EXPECT_TRUE(all_finite) << "operation " << operation;
    } else {
      EXPECT_THAT(std::string(status.message()), HasSubstr("emulated failure"));
    }
    device.device().Drain();
  }
}

}  // namespace
}  // namespace cddp
