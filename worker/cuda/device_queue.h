// The engine's interface to a GPU, besides the kernels (kernels.h): memory, and one stream of ordered work. Implemented
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

// One call at a time, except that Await, IsReady and host memory may be called at the same time. False means a device's
// error, which error() describes.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // Makes the device the calling thread's current one for good, so that the thread never uses another device and its
  // memory.
  virtual void AdoptThread() = 0;

  // Device memory, aligned to 256 bytes, freed with the queue. Free waits for the device.
  virtual bool Allocate(size_t bytes, void** memory) = 0;
  virtual void Free(void* memory) = 0;

  // Host memory that the device reads and writes; it may outlive the queue. Null if memory is short.
  using AllocateHost = std::function<void*(size_t bytes)>;
  using FreeHost = std::function<void(void* memory)>;
  virtual AllocateHost allocate_host() const = 0;
  virtual FreeHost free_host() const = 0;

  // Queued operations: later ones wait for them.
  virtual bool Zero(void* memory, size_t bytes) = 0;
  virtual bool Copy(void* to, const void* from, size_t bytes) = 0;  // from device or host, to device or host
  virtual bool WaitFor(const void* ready) = 0;                      // see IsReady
  virtual bool WaitForModel() = 0;                                  // all work given to the model's stream until now
  virtual bool SetMark(Mark mark) = 0;

  // Whether a ReadyToken's event is complete. Any thread.
  virtual bool IsReady(const void* ready) const = 0;

  // Makes `stream` wait for all queued work; the host does not wait.
  virtual bool HoldStream(void* stream) = 0;

  // The host waits for the work queued before the mark, or for all work. Await sets no error.
  virtual bool Await(Mark mark) = 0;
  virtual bool Synchronise() = 0;

  virtual const char* error() const = 0;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_DEVICE_QUEUE_H_
