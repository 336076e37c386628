// The device for an engine's test: the emulated one, or a GPU if there is one.

#ifndef TESTS_UNIT_CUDA_ENGINE_DEVICE_H_
#define TESTS_UNIT_CUDA_ENGINE_DEVICE_H_

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/unit/cuda/emulated_device.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/cuda/cuda_memory.h"
#include "worker/cuda/cuda_stream.h"
#include "worker/cuda/device_buckets.h"

namespace cddp {

// One for each engine. Arrays lie in the device's memory.
class EngineDevice {
 public:
  virtual ~EngineDevice() = default;

  virtual absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeBuckets(const ParameterLayout& layout,
                                                                   const GradientCompressorOptions& options,
                                                                   uint32_t worker_count) = 0;
  virtual std::shared_ptr<float> Array(size_t size) = 0;
  virtual void Write(float* to, const std::vector<float>& values) = 0;
  // Once all is done that the engine was asked for.
  virtual std::vector<float> Read(const float* from, size_t size) = 0;

  // A token that is complete once SetReady is called, or sooner.
  virtual ReadyToken MakeToken() = 0;
  virtual void SetReady(const ReadyToken& token) = 0;
};

class EmulatedEngineDevice final : public EngineDevice {
 public:
  absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeBuckets(const ParameterLayout& layout,
                                                           const GradientCompressorOptions& options,
                                                           uint32_t worker_count) override {
    return DeviceBuckets::Create(layout, options, worker_count, MakeEmulatedDevice(&device_));
  }
  std::shared_ptr<float> Array(size_t size) override {
    auto values = std::make_shared<std::vector<float>>(size);
    return {values, values->data()};
  }
  void Write(float* to, const std::vector<float>& values) override { std::copy(values.begin(), values.end(), to); }
  std::vector<float> Read(const float* from, size_t size) override {
    device_->Drain();
    return {from, from + size};
  }
  ReadyToken MakeToken() override { return std::make_shared<EmulatedEvent>(); }
  void SetReady(const ReadyToken& token) override {
    const_cast<EmulatedEvent*>(static_cast<const EmulatedEvent*>(token.get()))->Set();
  }

  EmulatedDevice& device() { return *device_; }

 private:
  EmulatedDevice* device_ = nullptr;  // the engine's
};

class CudaEngineDevice final : public EngineDevice {
 public:
  absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeBuckets(const ParameterLayout& layout,
                                                           const GradientCompressorOptions& options,
                                                           uint32_t worker_count) override {
    absl::StatusOr<std::unique_ptr<CudaBuckets>> buckets = MakeCudaBuckets(layout, options, worker_count, {});
    if (buckets.ok()) buckets_ = buckets->get();
    return buckets;
  }
  std::shared_ptr<float> Array(size_t size) override {
    std::shared_ptr<void> memory = *AllocateOnDevice(0, size * sizeof(float));
    return {memory, static_cast<float*>(memory.get())};
  }
  void Write(float* to, const std::vector<float>& values) override {
    ASSERT_TRUE(CopyToDevice(0, nullptr, to, values.data(), values.size() * sizeof(float)).ok());
  }
  std::vector<float> Read(const float* from, size_t size) override {
    std::vector<float> values(size);
    EXPECT_TRUE(buckets_->WaitForWeights(nullptr).ok());
    EXPECT_TRUE(CopyToHost(0, nullptr, values.data(), from, size * sizeof(float)).ok());
    return values;
  }
  ReadyToken MakeToken() override { return *RecordReady(0, nullptr); }
  void SetReady(const ReadyToken&) override {}

 private:
  CudaBuckets* buckets_ = nullptr;
};

struct EngineDeviceKind {
  const char* name;
  std::unique_ptr<EngineDevice> (*make)();

  friend void PrintTo(const EngineDeviceKind& kind, std::ostream* to) { *to << kind.name; }
};

inline constexpr EngineDeviceKind kEmulatedKind = {
    "Emulated", [] { return std::unique_ptr<EngineDevice>(std::make_unique<EmulatedEngineDevice>()); }};
inline constexpr EngineDeviceKind kCudaKind = {
    "Cuda", [] { return std::unique_ptr<EngineDevice>(std::make_unique<CudaEngineDevice>()); }};

}  // namespace cddp

#endif  // TESTS_UNIT_CUDA_ENGINE_DEVICE_H_
