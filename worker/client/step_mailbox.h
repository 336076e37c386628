// How the training thread and gRPC's threads talk to the thread that runs the exchange.

#ifndef WORKER_CLIENT_STEP_MAILBOX_H_
#define WORKER_CLIENT_STEP_MAILBOX_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "worker/client/cluster_client.h"

namespace cddp {

// Thread-safe. One thread, the exchange's, calls AwaitStep, IsReady, Next and StepDone; the training thread calls Open,
// Ready, AwaitDone and End; gRPC's threads call Put.
class StepMailbox {
 public:
  struct Answer {
    uint32_t bucket;
    absl::StatusOr<PulledUpdate> update;
  };
  // What to do next: apply an answer, push the next bucket (no answer), or end.
  struct Event {
    std::optional<Answer> answer;
    bool end = false;
  };

  // Begins a step, none of whose gradients is ready.
  void Open() {
    std::lock_guard lock(mutex_);
    ready_from_ = UINT64_MAX;
    is_open_ = true;
    changed_.notify_all();
  }

  // The gradients of all elements from `begin` on are complete.
  void Ready(uint64_t begin) {
    std::lock_guard lock(mutex_);
    ready_from_ = std::min(ready_from_, begin);
    changed_.notify_all();
  }

  void Put(uint32_t bucket, absl::StatusOr<PulledUpdate> update) {
    std::lock_guard lock(mutex_);
    answers_.push_back({bucket, std::move(update)});
    changed_.notify_all();
  }

  // Waits for the open step to be over.
  void AwaitDone() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !is_open_; });
  }

  // Ends the exchange's thread as soon as it looks.
  void End() {
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  // Waits for Open; false after End.
  bool AwaitStep() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_open_ || ended_; });
    return !ended_;
  }

  // Would Next tell to push the bucket that begins at `next_begin`?
  bool IsReady(uint64_t next_begin) {
    std::lock_guard lock(mutex_);
    return ready_from_ <= next_begin;
  }

  // Waits until the bucket that begins at `next_begin` is ready to be pushed, which goes first, or an answer is there.
  // No `next_begin`: all buckets are pushed.
  Event Next(std::optional<uint64_t> next_begin) {
    std::unique_lock lock(mutex_);
    const auto may_push = [&] { return next_begin.has_value() && ready_from_ <= *next_begin; };
    changed_.wait(lock, [&] { return ended_ || may_push() || !answers_.empty(); });
    if (ended_) return {std::nullopt, true};
    if (may_push()) return {};
    Event event = {std::move(answers_.front())};
    answers_.pop_front();
    return event;
  }

  void StepDone() {
    std::lock_guard lock(mutex_);
    is_open_ = false;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Answer> answers_ ABSL_GUARDED_BY(mutex_);
  uint64_t ready_from_ ABSL_GUARDED_BY(mutex_) = UINT64_MAX;
  bool is_open_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_STEP_MAILBOX_H_
