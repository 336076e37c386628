// A log on disk of the updates that a worker has sent since its last checkpoints: worker-<rank>.sent-<step>, one file
// for each checkpoint, which begins with its step. A restarted worker repeats those steps. If its gradients then differ
// by a bit (another processor, another LibTorch), so do its updates; but the servers have counted the first ones, so
// these determine its residual (remade_buckets.h).
//
// A file is the magic number, the format, the run's name, and records with a checksum each. It is not synced: a killed
// process loses nothing, a loss of power may lose the end. Unreadable records are ignored.

#ifndef WORKER_CHECKPOINT_SENT_LOG_H_
#define WORKER_CHECKPOINT_SENT_LOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/bytes/shared_bytes.h"
#include "common/sync/mutex.h"

namespace cddp {

// Thread-safe.
class SentLog {
 public:
  // Limit of the log between two checkpoints. A worker that sends more sends densely, so its residual is small.
  static constexpr uint64_t kMostBytes = uint64_t{1} << 30;

  // For a worker that begins at `step`, with or without a checkpoint, in an existing folder. Reads what this run's
  // earlier process sent from that step on; removes older files and those of other runs. Errors of the folder.
  static absl::StatusOr<std::unique_ptr<SentLog>> Open(const std::string& folder, uint32_t rank, const std::string& run,
                                                       uint64_t step);
  ~SentLog();

  // The update of a bucket that the previous process sent in a step.
  std::optional<SharedBytes> Find(uint64_t step, uint32_t bucket) const;
  bool empty() const { return sent_.empty(); }  // whether no update was found

  // Notes `update` before it is sent. An error is logged once, and the next checkpoint begins another file.
  void Note(uint64_t step, uint32_t bucket, absl::string_view update);

  // Call it when a checkpoint is taken: updates from `step` on go to a new file.
  void BeginFile(uint64_t step);

  // Call it when the checkpoint of `step` is durable: removes the files before the previous checkpoint.
  void NoteDurable(uint64_t step);

 private:
  SentLog(std::string prefix, std::string run) : prefix_(std::move(prefix)), run_(std::move(run)) {}

  absl::Status Read(uint64_t step);
  // Returns the bytes of complete records; 0 for a file of another run.
  uint64_t ReadFile(absl::string_view bytes, uint64_t step);
  void OpenFile(uint64_t step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write(absl::string_view bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveBefore(uint64_t step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::map<uint64_t, std::string> Files() const;  // paths by the step that they begin with

  const std::string prefix_;  // of the files' paths
  const std::string run_;
  std::map<std::pair<uint64_t, uint32_t>, SharedBytes> sent_;  // by step and bucket; not changed after Open
  mutable Mutex mutex_;
  int fd_ ABSL_GUARDED_BY(mutex_) = -1;  // -1: not logging
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<uint64_t> durable_ ABSL_GUARDED_BY(mutex_);  // step of the last durable checkpoint
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace cddp

#endif  // WORKER_CHECKPOINT_SENT_LOG_H_
