// Collects checked updates for the device: copies them to memory that it reads, one after the other, with a table of
// their actions. Encodings that the kernels do not decode (Golomb-Rice codes) are converted.

#ifndef WORKER_CUDA_UPDATE_STAGE_H_
#define WORKER_CUDA_UPDATE_STAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/codec/update_reader.h"
#include "worker/cuda/apply_kernels.h"
#include "worker/cuda/host_blocks.h"

namespace cddp {

// The updates for one transfer. Jobs of a layer have different targets; layers run one after the other, so that a
// target's updates are added in order.
struct StagedUpdates {
  struct Layer {
    uint32_t jobs = 0;
    uint32_t most_blocks = 0;  // of one of them
  };

  std::shared_ptr<uint8_t> block;  // host memory: updates, then jobs
  size_t bytes = 0;
  size_t jobs_at = 0;  // in the block; those of the first layer first
  std::vector<Layer> layers;
};

// Not thread-safe.
class UpdateStage {
 public:
  // `blocks` must outlive this. `longest`: elements of the longest bucket.
  UpdateStage(HostBlocks* blocks, uint32_t longest);

  // Bytes of host and device memory per stage: enough for several updates, and for the largest one.
  size_t capacity() const { return capacity_; }

  bool empty() const { return jobs_ == 0; }
  // Whether there is room for another update.
  bool HasRoom() const { return used_ + most_bytes_ + kJobsBytes <= capacity_ && jobs_ < kMostJobs; }

  // Adds a job: `action` for an update of the bucket at `target`, or filling it with minus zeros. Requires HasRoom().
  // False if host memory is short.
  bool Add(float* target, const CheckedUpdate& update, device::UpdateJob::Action action);
  bool Fill(float* target, uint32_t length);

  // Ends the stage and begins the next.
  StagedUpdates Take();

 private:
  static constexpr size_t kMostJobs = 4096;
  static constexpr size_t kJobsBytes = kMostJobs * sizeof(device::UpdateJob) + 16;

  bool Begin();
  void AddJob(float* target, device::UpdateJob job);
  uint64_t Append(const void* bytes, size_t size);
  void AppendRanks(const UpdateParts& parts, device::UpdateJob* job);

  HostBlocks& blocks_;
  const size_t most_bytes_;  // of one update
  const size_t capacity_;
  std::shared_ptr<uint8_t> block_;
  size_t used_ = 0;
  size_t jobs_ = 0;
  std::vector<std::vector<device::UpdateJob>> layers_;
  absl::flat_hash_map<const float*, size_t> layers_of_;  // by target: the number of layers with a job of it
};

}  // namespace cddp

#endif  // WORKER_CUDA_UPDATE_STAGE_H_
