// Writes checkpoints while training goes on.

#ifndef WORKER_CHECKPOINT_CHECKPOINT_WRITER_H_
#define WORKER_CHECKPOINT_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "worker/checkpoint/checkpoint_files.h"

namespace cddp {

// Thread-safe.
class CheckpointWriter {
 public:
  // Called from the writer's thread after each checkpoint, with its result.
  struct Written {
    uint64_t step = 0;
    absl::Duration time;
    absl::Status status;
  };
  using Listener = std::function<void(const Written&)>;

  CheckpointWriter(CheckpointFiles files, Listener listener);
  // Waits for the checkpoint under way.
  ~CheckpointWriter();

  // Whether a checkpoint is under way. The next one would wait for it.
  bool busy() const;

  // Takes a checkpoint and returns at once; if another is under way, only when that is written.
  void Write(WorkerCheckpoint checkpoint);

  // Waits for the checkpoint under way; returns the result of the last one.
  absl::Status Wait();

 private:
  void Run();

  const CheckpointFiles files_;
  const Listener listener_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::optional<WorkerCheckpoint> next_ ABSL_GUARDED_BY(mutex_);  // until it is written
  absl::Status last_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cddp

#endif  // WORKER_CHECKPOINT_CHECKPOINT_WRITER_H_
