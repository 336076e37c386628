// A pool of blocks of host memory that the device reads and writes. They are pinned, which costs milliseconds, and so
// reused.

#ifndef WORKER_CUDA_HOST_BLOCKS_H_
#define WORKER_CUDA_HOST_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/sync/mutex.h"
#include "worker/cuda/device_queue.h"

namespace cddp {

// Any thread. Blocks may outlive the pool: they hold updates until the last call that sends them has ended.
class HostBlocks {
 public:
  explicit HostBlocks(const device::DeviceQueue& queue)
      : pool_(std::make_shared<Pool>(queue.allocate_host(), queue.free_host())) {}

  // A block of at least `size` bytes, not cleared; null if memory is short. The last holder returns it to the pool.
  std::shared_ptr<uint8_t> Take(size_t size) {
    const Block block = pool_->Take(size);
    if (block.memory == nullptr) return nullptr;
    return std::shared_ptr<uint8_t>(static_cast<uint8_t*>(block.memory),
                                    [pool = pool_, block](uint8_t*) { pool->GiveBack(block); });
  }

 private:
  struct Block {
    void* memory = nullptr;
    size_t size = 0;
  };

  class Pool {
   public:
    Pool(device::DeviceQueue::AllocateHost allocate, device::DeviceQueue::FreeHost free)
        : allocate_(std::move(allocate)), free_(std::move(free)) {}
    ~Pool() {
      for (const Block& block : blocks_) free_(block.memory);
    }

    // Takes the smallest free block that is large enough.
    Block Take(size_t size) {
      {
        MutexLock lock(mutex_);
        auto best = blocks_.end();
        for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
          if (block->size >= size && (best == blocks_.end() || block->size < best->size)) best = block;
        }
        if (best != blocks_.end()) {
          const Block block = *best;
          blocks_.erase(best);
          return block;
        }
      }
      size_t rounded = size_t{64} * 1024;  // so that batches of different sizes share blocks
      while (rounded < size) rounded *= 2;
      return {allocate_(rounded), rounded};
    }

    void GiveBack(const Block& block) {
      MutexLock lock(mutex_);
      blocks_.push_back(block);
    }

   private:
    const device::DeviceQueue::AllocateHost allocate_;
    const device::DeviceQueue::FreeHost free_;
    Mutex mutex_;
    std::vector<Block> blocks_ ABSL_GUARDED_BY(mutex_);
  };

  const std::shared_ptr<Pool> pool_;
};

}  // namespace cddp

#endif  // WORKER_CUDA_HOST_BLOCKS_H_
