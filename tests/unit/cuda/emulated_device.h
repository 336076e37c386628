// The device of the kernels in worker/cuda, on the host: blocks and, within a phase, threads run one by one, in an
// order that differs from launch to launch; fresh memory holds rubbish. What depends on an order, or on memory nobody
// wrote, gives other bytes than the CPU's compressor.

#ifndef TESTS_UNIT_CUDA_EMULATED_DEVICE_H_
#define TESTS_UNIT_CUDA_EMULATED_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/cuda/pipeline_steps.h"

namespace cddp {

struct EmulatedBlock {
  uint32_t number;
  uint32_t blocks;
  bool backwards;

  uint32_t index() const { return number; }
  uint32_t count() const { return blocks; }
  template <typename Phase>
  void Run(const Phase& phase) const {
    for (uint32_t t = 0; t < device::kThreads; ++t) phase(backwards ? device::kThreads - 1 - t : t);
  }
};

class EmulatedDevice {
 public:
  bool Allocate(size_t bytes, void** memory) {
    // An allocation of its own for each array, so that the address sanitizer sees its ends.
    memory_.push_back(std::make_unique<double[]>((bytes + sizeof(double) - 1) / sizeof(double)));
    *memory = memory_.back().get();
    std::memset(*memory, kRubbish, bytes);
    return true;
  }
  bool AllocateHost(size_t bytes, void** memory) { return Allocate(bytes, memory); }
  bool Zero(void* memory, size_t bytes) {
    std::memset(memory, 0, bytes);
    return true;
  }
  template <typename Kernel>
  bool Launch(const Kernel& kernel, uint32_t blocks) {
    ++launches_;
    for (uint32_t b = 0; b < blocks; ++b) {
      alignas(typename Kernel::Shared) unsigned char shared[sizeof(typename Kernel::Shared)];
      std::memset(shared, kRubbish, sizeof(shared));
      const uint32_t index = launches_ % 2 == 0 ? b : blocks - 1 - b;
      kernel(EmulatedBlock{index, blocks, launches_ % 3 == 0}, *reinterpret_cast<typename Kernel::Shared*>(shared));
    }
    return true;
  }
  bool QueueCopyToHost(const void* from, size_t bytes, void* to) { return Copy(from, bytes, to, false); }
  bool Copy(const void* from, size_t bytes, void* to, bool) {
    std::memcpy(to, from, bytes);
    return true;
  }
  bool Wait() { return true; }
  const char* error() const { return ""; }

 private:
  static constexpr int kRubbish = 0xa5;

  std::vector<std::unique_ptr<double[]>> memory_;
  uint32_t launches_ = 0;
};

inline absl::StatusOr<std::unique_ptr<device::DevicePipeline>> MakeEmulatedPipeline(
    const device::PipelineOptions& options) {
  auto pipeline = std::make_unique<device::PipelineSteps<EmulatedDevice>>(EmulatedDevice());
  pipeline->Init(options);
  return pipeline;
}

}  // namespace cddp

#endif  // TESTS_UNIT_CUDA_EMULATED_DEVICE_H_
