// An engine that completes later, on another thread and in random order, and begins nothing before Flush, as a GPU's
// does; the work is the host engine's.

#ifndef TESTS_UNIT_EXCHANGE_ASYNC_BUCKETS_H_
#define TESTS_UNIT_EXCHANGE_ASYNC_BUCKETS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/sync/mutex.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

class AsyncBuckets final : public BucketEngine {
 public:
  AsyncBuckets(std::unique_ptr<BucketEngine> host, uint32_t most_encodings, uint64_t seed)
      : host_(std::move(host)), most_encodings_(most_encodings), random_(seed), thread_([this] { Run(); }) {}

  ~AsyncBuckets() override {
    {
      MutexLock lock(mutex_);
      ending_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
  }

  uint32_t most_encodings() const override { return most_encodings_; }
  bool needs_whole_gradient() const override { return host_->needs_whole_gradient(); }

  void Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) override {
    Later([this, bucket, ready, with_checksum, done = std::move(done)] {
      EncodedBucket result;
      {
        MutexLock lock(host_mutex_);
        host_->Encode(bucket, ready, with_checksum, [&](EncodedBucket encoded) { result = std::move(encoded); });
      }
      done(std::move(result));
    });
  }

  void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) override {
    Later([this, bucket, reply, pushed, done = std::move(done)] {
      absl::Status result;
      {
        MutexLock lock(host_mutex_);
        host_->Apply(bucket, reply, pushed, [&](absl::Status status) { result = std::move(status); });
      }
      done(std::move(result));
    });
  }

  void Flush() override {
    MutexLock lock(mutex_);
    work_.insert(work_.end(), gathered_.begin(), gathered_.end());
    gathered_.clear();
    changed_.NotifyAll();
  }

  void Bind(absl::Span<const float> gradients, absl::Span<float> weights) override {
    MutexLock lock(host_mutex_);
    host_->Bind(gradients, weights);
  }
  absl::Status SetLevel(const SendLevel& level) override {
    MutexLock lock(host_mutex_);
    return host_->SetLevel(level);
  }
  void BeginGradients(uint64_t step) override {
    MutexLock lock(host_mutex_);
    host_->BeginGradients(step);
  }
  void TakeBack(uint32_t bucket, const SharedBytes& update) override {
    MutexLock lock(host_mutex_);
    host_->TakeBack(bucket, update);
  }
  SharedBytes EncodeWeights(uint32_t bucket) override {
    MutexLock lock(host_mutex_);
    return host_->EncodeWeights(bucket);
  }
  void SetWeights(uint32_t bucket, absl::Span<const float> weights) override {
    MutexLock lock(host_mutex_);
    host_->SetWeights(bucket, weights);
  }
  void ClearWeights(uint32_t bucket) override {
    MutexLock lock(host_mutex_);
    host_->ClearWeights(bucket);
  }
  BucketEngineState State() const override {
    MutexLock lock(host_mutex_);
    return host_->State();
  }
  absl::Status SetState(const BucketEngineState& state) override {
    MutexLock lock(host_mutex_);
    return host_->SetState(state);
  }

 private:
  void Later(std::function<void()> work) {
    MutexLock lock(mutex_);
    gathered_.push_back(std::move(work));
  }

  void Run() {
    MutexLock lock(mutex_);
    while (true) {
      changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ending_ || !work_.empty(); });
      if (ending_) return;
      std::swap(work_[random_() % work_.size()], work_.back());
      const std::function<void()> work = std::move(work_.back());
      work_.pop_back();
      lock.Unlock();
      work();
      lock.Lock();
    }
  }

  mutable Mutex host_mutex_;
  const std::unique_ptr<BucketEngine> host_;
  const uint32_t most_encodings_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::function<void()>> gathered_ ABSL_GUARDED_BY(mutex_);  // begins with the next Flush
  std::vector<std::function<void()>> work_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::mt19937_64 random_;  // the thread's
  std::thread thread_;
};

}  // namespace cddp

#endif  // TESTS_UNIT_EXCHANGE_ASYNC_BUCKETS_H_
