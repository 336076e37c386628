#include "server/limits.h"

#include <prometheus/family.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/clock/steady_time.h"

namespace cddp {
namespace {

// The number of idle hosts that are remembered.
constexpr size_t kMostPeers = 1000;
// Overhead of a message around an update, and of an update around its values.
constexpr uint64_t kMessageOverhead = 4096;
constexpr uint64_t kLeastBytes = 1 << 20;

prometheus::Gauge& AddGauge(prometheus::Registry* registry, const std::string& shard, const std::string& name,
                            const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({{"shard", shard}});
}

}  // namespace

absl::Status Validate(const LimitOptions& options) {
  if (options.max_inflight_bytes < kLeastBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max_inflight_bytes=", options.max_inflight_bytes, " is less than the least, ", kLeastBytes));
  }
  if (options.max_calls_per_peer == 0) return absl::InvalidArgumentError("--max_calls_per_peer must be at least 1");
  if (!(options.max_rate_per_peer == 0 || (options.max_rate_per_peer >= 1 && options.max_rate_per_peer <= 1e9))) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max_rate_per_peer=", options.max_rate_per_peer, " is outside [1, 1e9], and not 0 (any)"));
  }
  return absl::OkStatus();
}

Limits::Limits(const LimitOptions& options, prometheus::Registry* registry, const std::string& shard,
               Refusals* refusals)
    : options_(options), refusals_(*refusals) {
  calls_gauge_ = &AddGauge(registry, shard, "cddp_server_inflight_calls",
                           "Calls that wait for their answer, or whose answer the peer has not taken");
  bytes_gauge_ =
      &AddGauge(registry, shard, "cddp_server_inflight_bytes", "Requests held, including waiting calls, in bytes");
  unread_gauge_ =
      &AddGauge(registry, shard, "cddp_server_unread_bytes", "Answers that peers have not taken yet, in bytes");
  AddGauge(registry, shard, "cddp_server_inflight_bytes_limit",
           "--max_inflight_bytes; half of it is reserved for the bucket that has waited longest")
      .Set(static_cast<double>(options.max_inflight_bytes));
  AddGauge(registry, shard, "cddp_server_peer_calls_limit", "--max_calls_per_peer: calls in flight of one host")
      .Set(options.max_calls_per_peer);
  AddGauge(registry, shard, "cddp_server_peer_rate_limit", "--max_rate_per_peer: calls a second of one host; 0: any")
      .Set(options.max_rate_per_peer);
}

absl::Status Limits::CheckRound(uint32_t workers, uint64_t bucket_elements) const {
  const uint64_t round = workers * (bucket_elements * sizeof(float) + kMessageOverhead);
  if (round <= options_.max_inflight_bytes / 2) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("updates of one bucket from ", workers, " workers may take ", round,
                   " bytes, more than half of this server's --max_inflight_bytes=", options_.max_inflight_bytes,
                   ": raise it, or use a smaller --bucket_bytes"));
}

Limits::Peer& Limits::PeerOf(const std::string& host, absl::Time now) {
  if (peers_.size() >= kMostPeers) {
    std::erase_if(peers_, [&](const auto& entry) {
      return entry.second.calls == 0 && now - entry.second.refilled > absl::Seconds(1);  // full again by now
    });
  }
  Peer& peer = peers_[host];
  const double seconds = std::max(absl::ToDoubleSeconds(now - peer.refilled), 0.0);
  peer.turns = std::min(options_.max_rate_per_peer, peer.turns + std::min(seconds, 1.0) * options_.max_rate_per_peer);
  peer.refilled = now;
  return peer;
}

bool Limits::MayCall(Peer* peer) const {
  if (options_.max_rate_per_peer == 0) return true;
  if (peer->turns < 1) return false;
  peer->turns -= 1;
  return true;
}

absl::Status Limits::TooFast(const std::string& peer) {
  const std::string detail = absl::StrCat("more than --max_rate_per_peer=", options_.max_rate_per_peer,
                                          " calls a second from one host: try again later");
  refusals_.Note(Refusal::kTooFast, peer, detail);
  return absl::ResourceExhaustedError(detail);
}

absl::Status Limits::TakeTurn(const std::string& peer) {
  {
    const absl::Time now = SteadyNow();
    MutexLock lock(mutex_);
    if (MayCall(&PeerOf(HostOfPeer(peer), now))) return absl::OkStatus();
  }
  return TooFast(peer);
}

absl::Status Limits::Call::Begin(const std::string& peer) {
  const std::string host = HostOfPeer(peer);
  const absl::Time now = SteadyNow();
  Refusal why;
  std::string detail;
  {
    MutexLock lock(limits_.mutex_);
    Peer& counts = limits_.PeerOf(host, now);
    if (!limits_.MayCall(&counts)) {
      why = Refusal::kTooFast;
    } else if (counts.calls >= limits_.options_.max_calls_per_peer) {
      why = Refusal::kTooManyCalls;
      detail = absl::StrCat("more than --max_calls_per_peer=", limits_.options_.max_calls_per_peer,
                            " calls from one host wait: try again later");
    } else if (counts.unread > limits_.options_.max_inflight_bytes) {
      why = Refusal::kUnreadAnswers;
      detail = absl::StrCat("this host has not read ", counts.unread,
                            " bytes of answers, more than --max_inflight_bytes=", limits_.options_.max_inflight_bytes,
                            ": read them, then try again");
    } else {
      ++counts.calls;
      host_ = host;
      waits_ = true;
      ++limits_.waiting_;
      limits_.calls_gauge_->Increment();
      return absl::OkStatus();
    }
  }
  if (why == Refusal::kTooFast) return limits_.TooFast(peer);
  limits_.refusals_.Note(why, peer, detail);
  return absl::ResourceExhaustedError(detail);
}

absl::StatusOr<Limits::Held> Limits::Call::Hold(uint32_t bucket, uint64_t bytes) {
  std::string host;
  uint64_t held = 0;
  {
    MutexLock lock(limits_.mutex_);
    const uint64_t limit = limits_.options_.max_inflight_bytes;
    held = limits_.bytes_;
    const bool is_next = !limits_.held_.empty() && limits_.held_.front().bucket == bucket;
    if (held + bytes <= (is_next ? limit : limit / 2)) {
      Held holder;
      holder.request_ = limits_.held_.insert(limits_.held_.end(), {bucket, bytes});
      holder.limits_ = &limits_;
      limits_.bytes_ += bytes;
      limits_.bytes_gauge_->Set(static_cast<double>(limits_.bytes_));
      return holder;
    }
    host = host_;
  }
  const std::string detail =
      absl::StrCat("this server holds ", held,
                   " bytes of updates, as much as --max_inflight_bytes=", limits_.options_.max_inflight_bytes,
                   " allows before others are complete: try again later");
  limits_.refusals_.Note(Refusal::kTooManyBytes, host, detail);
  return absl::ResourceExhaustedError(detail);
}

Limits::Held::~Held() {
  if (limits_ == nullptr) return;
  MutexLock lock(limits_->mutex_);
  CDDP_CHECK(limits_->bytes_ >= request_->bytes) << limits_->bytes_ << " bytes held, fewer than " << request_->bytes;
  limits_->bytes_ -= request_->bytes;
  limits_->held_.erase(request_);
  limits_->bytes_gauge_->Set(static_cast<double>(limits_->bytes_));
}

Limits::Held& Limits::Held::operator=(Held&& other) noexcept {
  std::swap(limits_, other.limits_);
  std::swap(request_, other.request_);
  return *this;
}

void Limits::StopWaiting(Call* call) {
  if (!call->waits_) return;
  call->waits_ = false;
  if (--waiting_ == 0) changed_.NotifyAll();
}

void Limits::Call::Answered(uint64_t bytes) {
  MutexLock lock(limits_.mutex_);
  if (host_.empty() || bytes == unread_) return;
  uint64_t& of_peer = limits_.peers_[host_].unread;
  of_peer = of_peer - unread_ + bytes;
  limits_.unread_ = limits_.unread_ - unread_ + bytes;
  unread_ = bytes;
  limits_.unread_gauge_->Set(static_cast<double>(limits_.unread_));
}

void Limits::Call::Abandoned() {
  MutexLock lock(limits_.mutex_);
  limits_.StopWaiting(this);
}

Limits::Call::~Call() {
  MutexLock lock(limits_.mutex_);
  if (host_.empty()) return;
  limits_.StopWaiting(this);
  Peer& peer = limits_.peers_[host_];  // there while it has calls
  --peer.calls;
  limits_.calls_gauge_->Decrement();
  if (unread_ == 0) return;
  peer.unread -= unread_;
  limits_.unread_ -= unread_;
  limits_.unread_gauge_->Set(static_cast<double>(limits_.unread_));
}

bool Limits::WaitForCalls(absl::Duration timeout) {
  MutexLock lock(mutex_);
  return changed_.WaitFor(mutex_, timeout, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return waiting_ == 0; });
}

uint64_t Limits::inflight_bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

uint64_t Limits::unread_bytes() const {
  MutexLock lock(mutex_);
  return unread_;
}

}  // namespace cddp
