#include "worker/checkpoint/checkpoint_writer.h"

#include <utility>

#include "absl/time/clock.h"

namespace cddp {

CheckpointWriter::CheckpointWriter(CheckpointFiles files, Listener listener)
    : files_(std::move(files)), listener_(std::move(listener)), thread_([this] { Run(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

bool CheckpointWriter::busy() const {
  std::lock_guard lock(mutex_);
  return next_.has_value();
}

void CheckpointWriter::Write(WorkerCheckpoint checkpoint) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !next_.has_value(); });
  next_ = std::move(checkpoint);
  changed_.notify_all();
}

absl::Status CheckpointWriter::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !next_.has_value(); });
  return last_;
}

void CheckpointWriter::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return next_.has_value() || ending_; });
    if (!next_.has_value()) return;
    const WorkerCheckpoint& checkpoint = *next_;  // nobody touches it until it is reset here
    lock.unlock();
    const absl::Time begin = absl::Now();
    const absl::Status status = files_.Write(checkpoint);
    listener_({checkpoint.exchange.step, absl::Now() - begin, status});
    lock.lock();
    last_ = status;
    next_.reset();
    changed_.notify_all();
  }
}

}  // namespace cddp
