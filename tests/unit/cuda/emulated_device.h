// The device of worker/cuda, on the host: a stream with a thread of its own, so that the engine's host may be early or
// late as with a GPU. Blocks and, within a phase, threads run one by one, in an order that differs from launch to
// launch; fresh memory holds rubbish. What depends on an order, or on memory nobody wrote, gives other bytes than the
// host engine's; what the host reads or writes too early is a race that the thread sanitizer sees.

#ifndef TESTS_UNIT_CUDA_EMULATED_DEVICE_H_
#define TESTS_UNIT_CUDA_EMULATED_DEVICE_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/sync/mutex.h"
#include "worker/cuda/cuda_device.h"
#include "worker/cuda/kernel_steps.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

// What a ReadyToken of the emulated device points to.
class EmulatedEvent {
 public:
  void Set() {
    MutexLock lock(mutex_);
    is_set_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return is_set_; });
  }
  bool is_set() {
    MutexLock lock(mutex_);
    return is_set_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool is_set_ ABSL_GUARDED_BY(mutex_) = false;
};

struct EmulatedBlock {
  uint32_t number;
  uint32_t blocks;
  uint32_t of_slot;
  uint32_t threads;
  bool backwards;

  uint32_t index() const { return number; }
  uint32_t count() const { return blocks; }
  uint32_t slot() const { return of_slot; }
  template <typename Phase>
  void Run(const Phase& phase) const {
    for (uint32_t t = 0; t < threads; ++t) phase(backwards ? threads - 1 - t : t);
  }
  template <typename T>
  void Sum(T* terms) const {
    for (uint32_t t = 1; t < threads; ++t) terms[0] += terms[t];
  }
  template <typename T>
  void Max(T* terms) const {
    for (uint32_t t = 1; t < threads; ++t) terms[0] = std::max(terms[0], terms[t]);
  }
  template <typename T>
  void Scan(T* terms, T*) const {
    T sum{};
    for (uint32_t t = 0; t < threads; ++t) sum += std::exchange(terms[t], sum);
  }
};

class EmulatedDevice final : public device::DeviceQueue {
 public:
  EmulatedDevice() : thread_([this] { Run(); }) {}
  ~EmulatedDevice() override {
    Push([this] { ending_ = true; });
    thread_.join();
  }

  // From this operation on, counted from 1, all fail; 0: none.
  void FailFrom(uint64_t operation) { fail_from_ = operation; }

  uint64_t launches() const { return launches_; }
  uint64_t synchronised() const { return synchronised_; }
  uint64_t model_waits() const { return model_waits_; }
  uint64_t held_streams() const { return held_streams_; }

  void AdoptThread() override {}

  bool Allocate(size_t bytes, void** memory) override {
    if (!Works()) return false;
    // An allocation of its own for each array, so that the address sanitizer sees its ends.
    void* const made = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(made, kRubbish, bytes);
    *memory = made;
    return true;
  }
  void Free(void* memory) override {
    Drain();
    std::free(memory);
  }
  AllocateHost allocate_host() const override {
    return [](size_t bytes) -> void* { return std::malloc(bytes); };
  }
  FreeHost free_host() const override {
    return [](void* memory) { std::free(memory); };
  }

  bool Zero(void* memory, size_t bytes) override {
    return Queue([=] { std::memset(memory, 0, bytes); });
  }
  bool Copy(void* to, const void* from, size_t bytes) override {
    return Queue([=] { std::memcpy(to, from, bytes); });
  }
  bool WaitFor(const void* ready) override {
    return Queue([event = EventOf(ready)] { event->Wait(); });
  }
  bool WaitForModel() override {
    ++model_waits_;
    return Works();
  }
  bool SetMark(device::Mark mark) override {
    auto event = std::make_shared<EmulatedEvent>();
    {
      MutexLock lock(mutex_);
      marks_[static_cast<int>(mark)] = event;
    }
    return Queue([event] { event->Set(); });
  }
  bool IsReady(const void* ready) const override { return EventOf(ready)->is_set(); }
  bool HoldStream(void* stream) override {
    ++held_streams_;
    return Works();
  }
  bool Await(device::Mark mark) override {
    std::shared_ptr<EmulatedEvent> event;
    {
      MutexLock lock(mutex_);
      event = marks_[static_cast<int>(mark)];
    }
    event->Wait();
    return true;
  }
  bool Synchronise() override {
    ++synchronised_;
    Drain();
    return Works();
  }
  const char* error() const override { return "emulated failure"; }

  // Waits until everything is done that was queued until now.
  void Drain() {
    EmulatedEvent done;
    Push([&done] { done.Set(); });
    done.Wait();
  }

  template <typename Kernel>
  bool Launch(const Kernel& kernel, uint32_t blocks, uint32_t slots) {
    const uint64_t launch = ++launches_;
    return Queue([kernel, blocks, slots, launch] { RunKernel(kernel, blocks, slots, launch); });
  }

 private:
  static constexpr int kRubbish = 0xa5;

  static EmulatedEvent* EventOf(const void* ready) {
    return const_cast<EmulatedEvent*>(static_cast<const EmulatedEvent*>(ready));
  }

  template <typename Kernel>
  static void RunKernel(const Kernel& kernel, uint32_t blocks, uint32_t slots, uint64_t launch) {
    auto shared = std::make_unique<typename Kernel::Shared>();
    for (uint32_t b = 0; b < blocks * slots; ++b) {
      std::memset(static_cast<void*>(shared.get()), kRubbish, sizeof(typename Kernel::Shared));
      const uint32_t number = launch % 2 == 0 ? b : blocks * slots - 1 - b;
      kernel(EmulatedBlock{number % blocks, blocks, number / blocks, Kernel::kBlockThreads, launch % 3 == 0}, *shared);
    }
  }

  bool Works() { return fail_from_ == 0 || ++operations_ < fail_from_; }
  bool Queue(std::function<void()> work) {
    if (!Works()) return false;
    Push(std::move(work));
    return true;
  }
  void Push(std::function<void()> work) {
    MutexLock lock(mutex_);
    work_.push_back(std::move(work));
    changed_.NotifyAll();
  }

  void Run() {
    while (!ending_) {
      std::function<void()> work;
      {
        MutexLock lock(mutex_);
        changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !work_.empty(); });
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }

  std::atomic<uint64_t> fail_from_ = 0;
  std::atomic<uint64_t> operations_ = 0;
  std::atomic<uint64_t> launches_ = 0;
  std::atomic<uint64_t> synchronised_ = 0;
  std::atomic<uint64_t> model_waits_ = 0;
  std::atomic<uint64_t> held_streams_ = 0;
  bool ending_ = false;  // the thread's
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> work_ ABSL_GUARDED_BY(mutex_);
  std::array<std::shared_ptr<EmulatedEvent>, device::kMarks> marks_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// *device is valid as long as the parts are.
inline device::DeviceParts MakeEmulatedDevice(EmulatedDevice** device = nullptr) {
  auto made = std::make_shared<EmulatedDevice>();
  if (device != nullptr) *device = made.get();
  auto kernels = std::make_shared<device::KernelSteps<EmulatedDevice>>(made.get());
  return {std::move(made), std::move(kernels)};
}

}  // namespace cddp

#endif  // TESTS_UNIT_CUDA_EMULATED_DEVICE_H_
