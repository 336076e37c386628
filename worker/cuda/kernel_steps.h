// The order of the kernels, for any Device that has
//
//   bool Zero(void* memory, size_t bytes);                                  queued
//   bool Launch(const Kernel& kernel, uint32_t blocks, uint32_t slots);     queued

#ifndef WORKER_CUDA_KERNEL_STEPS_H_
#define WORKER_CUDA_KERNEL_STEPS_H_

#include <cstddef>
#include <cstdint>

#include "worker/cuda/encode_kernels.h"
#include "worker/cuda/kernels.h"
#include "worker/cuda/norm_kernels.h"
#include "worker/cuda/search_kernels.h"
#include "worker/cuda/select_kernels.h"

namespace cddp::device {

template <typename Device>
class KernelSteps : public Kernels {
 public:
  // `device` must outlive this.
  explicit KernelSteps(Device* device) : device_(*device) {}

  bool Encode(const Batch& batch, const Arrays& arrays, const BatchSize& size, const StepInput& input,
              const ValueCoding& coding, const Delivery& to) override {
    if (!device_.Zero(arrays.states, batch.count * sizeof(StepState))) return false;
    bool estimates = false;
    for (uint32_t slot = 0; slot < batch.count; ++slot) estimates |= batch.least_keys[slot] == kEstimateKey;
    if (estimates && !device_.Launch(EstimateKernel{batch, arrays, input}, 1, batch.count)) return false;
    return device_.Launch(PassKernel{batch, arrays, input}, Blocks(size.longest, kTile), batch.count) &&
           device_.Launch(GatherKernel{batch, arrays}, Blocks(size.longest, GatherKernel::kChunk), batch.count) &&
           device_.Launch(FindKernel{batch, arrays}, 1, batch.count) &&
           Send(batch, arrays, size, coding, to, /*whole=*/false);
  }

  bool Search(const Batch& batch, const Arrays& arrays, const BatchSize& size, const ValueCoding& coding,
              const Delivery& to) override {
    if (!device_.Zero(arrays.states, batch.count * sizeof(StepState)) ||
        !device_.Zero(arrays.histograms, size_t{batch.count} * kDigits * kMaxBins * sizeof(uint32_t))) {
      return false;
    }
    for (uint32_t digit = 0; digit < kDigits; ++digit) {
      const uint32_t blocks = Min(Blocks(size.longest, kTile), kHistogramBlocks);
      if (!device_.Launch(HistogramKernel{batch, arrays, digit}, blocks, batch.count)) return false;
    }
    return device_.Launch(ThresholdKernel{batch, arrays}, 1, batch.count) &&
           Send(batch, arrays, size, coding, to, /*whole=*/true);
  }

  bool Clip(const float* gradients, uint64_t size, double limit, double* tile_sums, float* scale) override {
    const auto tiles = static_cast<uint32_t>((size + kTile - 1) / kTile);
    return device_.Launch(SquaresKernel{gradients, size, tile_sums}, tiles, 1) &&
           device_.Launch(ClipKernel{tile_sums, tiles, limit, scale}, 1, 1);
  }

  bool Apply(const UpdateJob* jobs, const uint8_t* bytes, uint32_t count, uint32_t most_blocks) override {
    return device_.Launch(ApplyKernel{jobs, bytes}, most_blocks, count);
  }

 private:
  // Each block adds its histogram to the common one.
  static constexpr uint32_t kHistogramBlocks = 64;
  // Enough to fill the bus.
  static constexpr uint32_t kDeliverBlocks = 64;

  bool Send(const Batch& batch, const Arrays& arrays, const BatchSize& size, const ValueCoding& coding,
            const Delivery& to, bool whole) {
    const uint32_t tiles = Blocks(whole ? size.longest : size.most_candidates, kTile);
    const uint32_t parts = Blocks(size.most_selected, kPart);
    return device_.Launch(CountKernel{batch, arrays, whole}, tiles, batch.count) &&
           device_.Launch(MoveKernel{batch, arrays, whole}, tiles, batch.count) &&
           device_.Launch(SizeKernel{batch, arrays}, parts, batch.count) &&
           device_.Launch(EncodeKernel{batch, arrays, coding}, parts, batch.count) &&
           device_.Launch(DeliverKernel{batch, arrays, coding, to.states, to.bytes}, kDeliverBlocks, 1);
  }

  Device& device_;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_KERNEL_STEPS_H_
