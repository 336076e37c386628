// Messages of other threads to the exchange's thread: tasks and complete gradients from the training thread, results
// from the network's and the engine's threads.

#ifndef WORKER_EXCHANGE_EXCHANGE_MAILBOX_H_
#define WORKER_EXCHANGE_EXCHANGE_MAILBOX_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "common/transport/exchange_message.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

// Thread-safe. The exchange's thread calls AwaitTask, TaskDone and Next; the training thread calls Start, NoteReady,
// AwaitDone and End; any thread calls Post.
class ExchangeMailbox {
 public:
  struct Ready {  // the gradients of all elements from `begin` on are complete once `token` is
    uint64_t begin = 0;
    ReadyToken token;
  };
  struct Encoded {
    uint32_t bucket;
    EncodedBucket result;
  };
  struct Answered {
    uint32_t bucket;
    absl::StatusOr<PushReply> reply;
  };
  struct Applied {
    uint32_t bucket;
    absl::Status status;
  };
  struct Ended {};  // give up: the exchange is being destroyed
  using Event = std::variant<Ready, Encoded, Answered, Applied, Ended>;
  using Task = std::function<void()>;

  // Gives the exchange's thread a task; the last task must be done. No gradient is ready yet.
  void Start(Task task) {
    MutexLock lock(mutex_);
    ready_ = std::nullopt;
    task_ = std::move(task);
    is_open_ = true;
    changed_.NotifyAll();
  }

  // `begin` never grows within a task. A later call replaces an earlier one that was not handled yet, since it includes
  // the gradients of the earlier one.
  void NoteReady(uint64_t begin, ReadyToken token) {
    MutexLock lock(mutex_);
    ready_ = {begin, std::move(token)};
    changed_.NotifyAll();
  }

  void Post(Encoded encoded) {
    MutexLock lock(mutex_);
    encoded_.push_back(std::move(encoded));
    changed_.NotifyAll();
  }
  void Post(Answered answered) { PostEvent(std::move(answered)); }
  void Post(Applied applied) { PostEvent(std::move(applied)); }

  // Waits until the task is done, or End was called.
  void AwaitDone() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !is_open_ || ended_; });
  }

  // The same for at most `timeout`; returns whether the task is done.
  bool AwaitDoneFor(absl::Duration timeout) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(mutex_, timeout,
                            [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !is_open_ || ended_; });
  }

  bool ended() {
    MutexLock lock(mutex_);
    return ended_;
  }

  // The exchange's thread gets Ended as the next event, and no more tasks.
  void End() {
    MutexLock lock(mutex_);
    ended_ = true;
    changed_.NotifyAll();
  }

  // Waits for Start; nothing after End.
  std::optional<Task> AwaitTask() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return is_open_ || ended_; });
    if (ended_) return std::nullopt;
    return std::move(task_);
  }

  void TaskDone() {
    MutexLock lock(mutex_);
    is_open_ = false;
    changed_.NotifyAll();
  }

  // Whether Next would return without waiting.
  bool HasNext() {
    MutexLock lock(mutex_);
    return HasEvent();
  }

  // Waits for the next event. Events that lead to a push come before replies, so that the network stays busy.
  Event Next() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return HasEvent(); });
    if (ended_) return Ended{};
    if (ready_.has_value()) return *std::exchange(ready_, std::nullopt);
    if (!encoded_.empty()) return TakeFront(encoded_);
    return TakeFront(events_);
  }

 private:
  bool HasEvent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ended_ || ready_.has_value() || !encoded_.empty() || !events_.empty();
  }

  void PostEvent(Event event) {
    MutexLock lock(mutex_);
    events_.push_back(std::move(event));
    changed_.NotifyAll();
  }

  template <typename T>
  static T TakeFront(std::deque<T>& queue) {
    T front = std::move(queue.front());
    queue.pop_front();
    return front;
  }

  Mutex mutex_;
  CondVar changed_;
  Task task_ ABSL_GUARDED_BY(mutex_);
  std::optional<Ready> ready_ ABSL_GUARDED_BY(mutex_);
  std::deque<Encoded> encoded_ ABSL_GUARDED_BY(mutex_);
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  bool is_open_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace cddp

#endif  // WORKER_EXCHANGE_EXCHANGE_MAILBOX_H_
