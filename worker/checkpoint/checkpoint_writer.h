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
  // Called from the writer's thread after each checkpoint, with what became of it.
  struct Written {
    uint64_t step = 0;
    absl::Duration time;
    absl::Status status;
  };
  using Listener = std::function<void(const Written&)>;

  CheckpointWriter(CheckpointFiles files, Listener listener);
  // Waits for the checkpoint under way.
  ~CheckpointWriter();

  // Is one under way? The next would wait for it.
  bool busy() const;

  // Takes a checkpoint and returns; if one is under way, when it is written.
  void Write(WorkerCheckpoint checkpoint);

  // Waits for the checkpoint under way; what became of the last one.
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
