#include "tests/unit/exchange/fake_cluster.h"

#include <string>
#include <utility>

#include "common/codec/update_codec.h"

namespace cddp {

class FakeCluster final : public Cluster {
 public:
  FakeCluster(FakeServers* servers, uint32_t rank) : servers_(*servers), rank_(rank) {}

  uint32_t worker_count() const override { return servers_.options_.workers; }
  const std::string& server_settings() const override { return settings_; }
  bool is_sync() const override { return true; }
  uint64_t version() const override { return servers_.version(0); }
  uint32_t server_of(uint32_t bucket) const override { return servers_.server_of(bucket); }
  void Exchange(std::vector<Push> pushes, Answered done) override { servers_.Take(rank_, std::move(pushes), done); }
  void CancelExchanges(const absl::Status& why) override { servers_.Cancel(rank_, why); }
  absl::Status ReadSnapshot(absl::Span<const uint64_t> held, const TakeBucket& take) override {
    MutexLock lock(servers_.mutex_);
    for (uint32_t bucket = 0; bucket < servers_.buckets_.size(); ++bucket) {
      const auto& state = servers_.buckets_[bucket];
      if (absl::Status status = take({bucket, state.version, state.weights, {}}); !status.ok()) return status;
    }
    return servers_.failed_[0];
  }
  absl::Status TakePart() override { return absl::OkStatus(); }
  void Leave(bool finished) override { servers_.Retire(rank_); }
  void NoteProgress(uint64_t step, double loss) override {}
  uint64_t retries() const override { return 0; }

 private:
  FakeServers& servers_;
  const uint32_t rank_;
  const std::string settings_;
};

FakeServers::FakeServers(const ParameterLayout& layout, const FakeServersOptions& options)
    : layout_(layout),
      options_(options),
      buckets_(layout.bucket_count()),
      active_(options.workers, true),
      pushes_(options.workers),
      failed_(options.servers),
      cancelled_(options.workers),
      random_(options.seed),
      thread_([this] { Deliver(); }) {
  MutexLock lock(mutex_);
  for (uint32_t bucket = 0; bucket < layout.bucket_count(); ++bucket) {
    buckets_[bucket].weights.resize(layout.bucket_length(bucket));
  }
}

FakeServers::~FakeServers() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

std::unique_ptr<Cluster> FakeServers::Connect(uint32_t rank) { return std::make_unique<FakeCluster>(this, rank); }

void FakeServers::Take(uint32_t rank, std::vector<Push> pushes, const Cluster::Answered& done) {
  MutexLock lock(mutex_);
  for (Push& push : pushes) {
    pushes_[rank].push_back(push);
    const uint32_t index = push.bucket;
    const Waiting waiting = {rank, std::move(push), done};
    const absl::Status status = cancelled_[rank].ok() ? failed_[server_of(index)] : cancelled_[rank];
    if (!status.ok()) {
      Answer(waiting, status);
      continue;
    }
    buckets_[index].round[rank] = waiting;
    CloseIfComplete(index);
  }
}

void FakeServers::CloseIfComplete(uint32_t index) {
  Bucket& bucket = buckets_[index];
  size_t active = 0;
  bool refused = false;
  for (uint32_t rank = 0; rank < active_.size(); ++rank) {
    if (active_[rank] && !bucket.round.contains(rank)) return;
    active += active_[rank] || bucket.round.contains(rank);
  }
  if (bucket.round.empty()) return;
  std::vector<float> change(bucket.weights.size());
  for (const auto& [rank, waiting] : bucket.round) {
    refused |= waiting.push.non_finite;
    if (!waiting.push.update.empty()) AddUpdate(waiting.push.update.view(), absl::MakeSpan(change)).IgnoreError();
  }
  const float scale = bucket.version == 0 ? 1.0f : -0.125f / static_cast<float>(active);  // step 0: the weights
  PushReply reply;
  reply.refused = refused;
  reply.version = ++bucket.version;
  if (!refused) {
    for (float& value : change) value *= scale;
    std::string update;
    EncodeDense(absl::MakeSpan(change), ValueEncoding::kFp32, &update);
    reply.updates.push_back(SharedBytes::Own(std::move(update)));
    for (size_t i = 0; i < change.size(); ++i) bucket.weights[i] += change[i];
  }
  for (const auto& [rank, waiting] : bucket.round) Answer(waiting, reply);
  bucket.round.clear();
}

void FakeServers::Answer(const Waiting& waiting, const absl::StatusOr<PushReply>& reply) {
  if (holds_ && reply.ok()) return;
  answers_.push_back([bucket = waiting.push.bucket, done = waiting.done, reply] { done(bucket, reply); });
  changed_.NotifyAll();
}

void FakeServers::Deliver() {
  std::uniform_real_distribution<double> uniform;
  MutexLock lock(mutex_);
  while (true) {
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ending_ || !answers_.empty(); });
    if (ending_) return;
    const size_t chosen = random_() % answers_.size();
    const std::function<void()> answer = answers_[chosen];
    if (uniform(random_) >= options_.repeated) {
      answers_[chosen] = std::move(answers_.back());
      answers_.pop_back();
    }
    lock.Unlock();
    answer();
    lock.Lock();
  }
}

void FakeServers::Fail(const absl::Status& error) {
  for (uint32_t server = 0; server < options_.servers; ++server) FailServer(server, error);
}

void FakeServers::FailServer(uint32_t server, const absl::Status& error) {
  MutexLock lock(mutex_);
  failed_[server] = error;
  for (uint32_t index = 0; index < buckets_.size(); ++index) {
    if (server_of(index) != server) continue;
    for (const auto& [rank, waiting] : buckets_[index].round) Answer(waiting, error);
    buckets_[index].round.clear();
  }
}

void FakeServers::Cancel(uint32_t rank, const absl::Status& why) {
  MutexLock lock(mutex_);
  cancelled_[rank] = why;
  for (Bucket& bucket : buckets_) {
    const auto waiting = bucket.round.extract(rank);
    if (!waiting.empty()) Answer(waiting.mapped(), why);
  }
}

void FakeServers::Hold() {
  MutexLock lock(mutex_);
  holds_ = true;
}

void FakeServers::Retire(uint32_t rank) {
  MutexLock lock(mutex_);
  active_[rank] = false;
  for (uint32_t bucket = 0; bucket < buckets_.size(); ++bucket) CloseIfComplete(bucket);
}

void FakeServers::Await(uint32_t rank) {
  MutexLock lock(mutex_);
  active_[rank] = true;
}

std::vector<float> FakeServers::weights() const {
  MutexLock lock(mutex_);
  std::vector<float> all;
  for (const Bucket& bucket : buckets_) all.insert(all.end(), bucket.weights.begin(), bucket.weights.end());
  return all;
}

uint64_t FakeServers::version(uint32_t bucket) const {
  MutexLock lock(mutex_);
  return buckets_[bucket].version;
}

std::vector<Push> FakeServers::pushes(uint32_t rank) const {
  MutexLock lock(mutex_);
  return pushes_[rank];
}

}  // namespace cddp
