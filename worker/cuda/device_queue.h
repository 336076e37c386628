// A GPU as the engine needs it, besides the kernels (kernels.h): memory, and one stream of work in order. Implemented
// for CUDA (cuda_device.cu) and, for tests, on the host. No CUDA and no absl here, so that each compiler sees only its
// own headers.

#ifndef WORKER_CUDA_DEVICE_QUEUE_H_
#define WORKER_CUDA_DEVICE_QUEUE_H_

#include <cstddef>
#include <functional>

namespace cddp::device {

// Points of the stream, for SetMark and Await. Only the last is awaited with a processor that does nothing else: it
// comes some 0.1 ms after the first, and an answer to the network waits for it.
enum class Mark { kReady, kApplied, kEncoded };  // gradients complete; updates added; bytes in the host's memory
inline constexpr int kMarks = 3;

// One call at a time, except Await, IsReady and the host's memory: these may be called meanwhile. False means a
// device's error, which error() describes.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // Makes the device the calling thread's current one for good: such a thread never touches another, where it would
  // take memory.
  virtual void AdoptThread() = 0;

  // Device memory, aligned to 256 bytes, freed with the queue. Free waits for the device.
  virtual bool Allocate(size_t bytes, void** memory) = 0;
  virtual void Free(void* memory) = 0;

  // Host memory that the device reads and writes; it may outlive the queue. Null without memory.
  using AllocateHost = std::function<void*(size_t bytes)>;
  using FreeHost = std::function<void(void* memory)>;
  virtual AllocateHost allocate_host() const = 0;
  virtual FreeHost free_host() const = 0;

  // Queued: what comes later waits for it.
  virtual bool Zero(void* memory, size_t bytes) = 0;
  virtual bool Copy(void* to, const void* from, size_t bytes) = 0;  // from device or host, to device or host
  virtual bool WaitFor(const void* ready) = 0;                      // see IsReady
  virtual bool WaitForModel() = 0;                                  // all that the model's stream was given until now
  virtual bool SetMark(Mark mark) = 0;

  // Is the event complete that a ReadyToken points to? Any thread.
  virtual bool IsReady(const void* ready) const = 0;

  // Makes `stream` wait for all that is queued; the host does not wait.
  virtual bool HoldStream(void* stream) = 0;

  // The host waits: for what was queued before the mark, or for everything. Await sets no error.
  virtual bool Await(Mark mark) = 0;
  virtual bool Synchronise() = 0;

  virtual const char* error() const = 0;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_DEVICE_QUEUE_H_
