#include "worker/checkpoint/checkpoint_writer.h"

#include <utility>

#include "common/clock/monotonic.h"

namespace cddp {

CheckpointWriter::CheckpointWriter(CheckpointFiles files, Listener listener)
    : files_(std::move(files)), listener_(std::move(listener)), thread_([this] { Run(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

bool CheckpointWriter::busy() const {
  MutexLock lock(mutex_);
  return next_.has_value();
}

void CheckpointWriter::Write(WorkerCheckpoint checkpoint) {
  MutexLock lock(mutex_);
  changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !next_.has_value(); });
  next_ = std::move(checkpoint);
  changed_.NotifyAll();
}

absl::Status CheckpointWriter::Wait() {
  MutexLock lock(mutex_);
  changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !next_.has_value(); });
  return last_;
}

void CheckpointWriter::Run() {
  MutexLock lock(mutex_);
  while (true) {
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return next_.has_value() || ending_; });
    if (!next_.has_value()) return;
    const WorkerCheckpoint& checkpoint = *next_;  // no one else accesses it until it is reset here
    lock.Unlock();
    const absl::Duration begin = MonotonicNow();
    const absl::Status status = files_.Write(checkpoint);
    listener_({checkpoint.exchange.step, MonotonicNow() - begin, status});
    lock.Lock();
    last_ = status;
    next_.reset();
    changed_.NotifyAll();
  }
}

}  // namespace cddp
