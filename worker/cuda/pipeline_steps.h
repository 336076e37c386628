// DevicePipeline's order of kernels and its scratch memory, for any Device that has
//
//   bool Allocate(size_t bytes, void** memory);             device memory, freed with the Device
//   bool AllocateHost(size_t bytes, void** memory);         pinned host memory, likewise
//   bool Zero(void* memory, size_t bytes);                  queued
//   bool Launch(const Kernel& kernel, uint32_t blocks);     queued
//   bool QueueCopyToHost(const void* from, size_t bytes, void* to);
//   bool Copy(const void* from, size_t bytes, void* to, bool to_device);  waits
//   bool Wait();
//   const char* error() const;

#ifndef WORKER_CUDA_PIPELINE_STEPS_H_
#define WORKER_CUDA_PIPELINE_STEPS_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "worker/cuda/device_pipeline.h"
#include "worker/cuda/encode_kernels.h"
#include "worker/cuda/select_kernels.h"

namespace cddp::device {

template <typename Device>
class PipelineSteps : public DevicePipeline {
 public:
  explicit PipelineSteps(Device device) : device_(std::move(device)) {}

  // Allocates all scratch memory; false if there is not enough.
  bool Init(const PipelineOptions& options) {
    options_ = options;
    const uint32_t tiles = Blocks(options.length, kTile);
    chunks_ = Blocks(options.length, kChunk);
    // What is zeroed before each step lies together.
    zeroed_bytes_ = sizeof(StepState) + sizeof(uint32_t) * (size_t{kDigits} * kMaxBins + chunks_);
    void* zeroed;
    if (!device_.Allocate(zeroed_bytes_, &zeroed)) return false;
    state_ = static_cast<StepState*>(zeroed);
    histograms_ = reinterpret_cast<uint32_t*>(state_ + 1);
    chunk_counts_ = histograms_ + size_t{kDigits} * kMaxBins;
    const uint32_t index_blocks = Blocks(options.most_selected, kIndexBlockSize);
    void *host_state, *host_bytes;
    if (!Array(size_t{tiles} * (kTile / 32), &hits_) || !Array(options.wanted.candidate_room, &candidate_indices_) ||
        !Array(options.wanted.candidate_room, &candidate_values_) ||
        !Array(Max(tiles, Blocks(options.wanted.candidate_room, kTile)), &tile_counts_) || !Array(1, &ties_) ||
        !Array(options.most_selected, &selected_indices_) || !Array(options.most_selected, &selected_values_) ||
        !Array(index_blocks, &block_escapes_) || !Array(options.most_bytes, &bytes_) ||
        !device_.AllocateHost(sizeof(StepState), &host_state) ||
        !device_.AllocateHost(options.most_bytes, &host_bytes)) {
      return false;
    }
    host_state_ = static_cast<StepState*>(host_state);
    host_bytes_ = static_cast<uint8_t*>(host_bytes);
    if (options.forced_bits.empty()) return true;
    uint32_t* forced;
    const size_t size = options.forced_bits.size();
    if (!Array(size, &forced)) return false;
    forced_.bits = forced;
    return device_.Copy(options.forced_bits.data(), size * sizeof(uint32_t), forced, true);
  }

  bool Pass(const float* input, float* residual, uint32_t least_key, bool near_k) override {
    const uint32_t length = options_.length, tiles = Blocks(length, kTile);
    residual_ = residual;
    wanted_ = options_.wanted;
    wanted_.any_near_k = near_k;
    return device_.Zero(state_, zeroed_bytes_) && device_.Launch(CheckInputKernel{input, length, state_}, tiles) &&
           device_.Launch(CompensateKernel{input, residual, length, least_key, forced_, hits_, chunk_counts_, state_},
                          tiles) &&
           device_.Launch(GatherKernel{residual, length, forced_, wanted_, hits_, chunk_counts_, candidate_indices_,
                                       candidate_values_, state_},
                          chunks_);
  }

  bool Send(bool from_whole) override {
    const Source source = {from_whole ? nullptr : candidate_indices_, from_whole ? residual_ : candidate_values_,
                           options_.length, forced_, wanted_};
    const uint32_t tiles = Blocks(from_whole ? options_.length : wanted_.candidate_room, kTile);
    for (uint32_t digit = 0; digit < kDigits; ++digit) {
      const uint32_t blocks = Min(tiles, kHistogramBlocks);
      if (!device_.Launch(HistogramKernel{source, digit, histograms_, state_}, blocks)) return false;
    }
    const uint32_t index_blocks = Blocks(options_.most_selected, kIndexBlockSize);
    const Selected selected = {selected_indices_, selected_values_};
    return device_.Launch(CountKernel{source, histograms_, tile_counts_, ties_, state_}, tiles) &&
           device_.Launch(MoveKernel{source, tile_counts_, ties_, selected_indices_, selected_values_, state_},
                          tiles) &&
           device_.Launch(SizeKernel{selected, block_escapes_, state_}, index_blocks) &&
           device_.Launch(EncodeKernel{selected, options_.length, options_.value_encoding, options_.code_bits,
                                       options_.value_bytes, block_escapes_, residual_, bytes_, state_},
                          index_blocks) &&
           device_.QueueCopyToHost(state_, sizeof(StepState), host_state_) &&
           device_.QueueCopyToHost(bytes_, options_.most_bytes, host_bytes_);
  }

  bool Wait() override { return device_.Wait(); }
  const StepState& state() const override { return *host_state_; }
  const uint8_t* bytes() const override { return host_bytes_; }
  const char* error() const override { return device_.error(); }

  float* Allocate(uint32_t elements) override {
    float* array;
    return Array(elements, &array) ? array : nullptr;
  }
  bool CopyToDevice(const float* from, uint32_t elements, float* to) override {
    return device_.Copy(from, elements * sizeof(float), to, true);
  }
  bool CopyFromDevice(const float* from, uint32_t elements, float* to) override {
    return device_.Copy(from, elements * sizeof(float), to, false);
  }

 private:
  // Enough to fill the largest devices; each block adds its histogram to the common one.
  static constexpr uint32_t kHistogramBlocks = 512;

  template <typename T>
  bool Array(size_t size, T** array) {
    void* memory;
    if (!device_.Allocate(Max(size, size_t{1}) * sizeof(T), &memory)) return false;
    *array = static_cast<T*>(memory);
    return true;
  }

  Device device_;
  PipelineOptions options_;
  Wanted wanted_;  // in this step
  ForcedElements forced_;
  uint32_t chunks_ = 0;
  size_t zeroed_bytes_ = 0;
  float* residual_ = nullptr;
  StepState* state_ = nullptr;
  uint32_t* histograms_ = nullptr;
  uint32_t* chunk_counts_ = nullptr;
  uint32_t* hits_ = nullptr;
  uint32_t* candidate_indices_ = nullptr;
  float* candidate_values_ = nullptr;
  uint64_t* tile_counts_ = nullptr;
  uint32_t* ties_ = nullptr;
  uint32_t* selected_indices_ = nullptr;
  float* selected_values_ = nullptr;
  uint32_t* block_escapes_ = nullptr;
  uint8_t* bytes_ = nullptr;
  StepState* host_state_ = nullptr;
  uint8_t* host_bytes_ = nullptr;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_PIPELINE_STEPS_H_
