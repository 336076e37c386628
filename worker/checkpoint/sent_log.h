// What a worker has sent since its last checkpoints, on disk: worker-<rank>.sent-<step>, one file for each checkpoint,
// whose steps it begins with. A worker that is started again makes those steps once more. Where its gradients then
// differ by a bit (another processor, another LibTorch), so does what it would send; the servers have counted what it
// sent first, so that is what counts for its residual (remade_buckets.h).
//
// A file is the magic number, the format, the run's name, and records with a checksum each. It is not synced: a killed
// process loses nothing, a loss of power perhaps the end. What cannot be read is left out.

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
  // The most that is logged between two checkpoints. Where more is sent, it is dense, and the residual is small.
  static constexpr uint64_t kMostBytes = uint64_t{1} << 30;

  // Of a worker that begins at `step`, from a checkpoint or anew, in a folder that is there. Reads what this run's
  // earlier process sent from that step on; removes what is another run's or older. Errors of the folder.
  static absl::StatusOr<std::unique_ptr<SentLog>> Open(const std::string& folder, uint32_t rank, const std::string& run,
                                                       uint64_t step);
  ~SentLog();

  // What was sent of a bucket in a step by the process before this one.
  std::optional<SharedBytes> Find(uint64_t step, uint32_t bucket) const;
  bool empty() const { return sent_.empty(); }  // was nothing found?

  // Before `update` is sent. An error is in the log once, and the next checkpoint begins another file.
  void Note(uint64_t step, uint32_t bucket, absl::string_view update);

  // A checkpoint is taken: what is sent from `step` on goes to a file of its own.
  void BeginFile(uint64_t step);

  // The checkpoint of `step` is durable, and so was the one before it: removes what lies before that.
  void NoteDurable(uint64_t step);

 private:
  SentLog(std::string prefix, std::string run) : prefix_(std::move(prefix)), run_(std::move(run)) {}

  absl::Status Read(uint64_t step);
  // Returns the bytes of whole records; 0 for a file that is not of this run.
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
