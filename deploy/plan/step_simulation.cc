#include "deploy/plan/step_simulation.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <queue>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/layout/shard_map.h"
#include "common/transport/call_size.h"
#include "common/transport/protocol.h"
#include "deploy/plan/resources.h"

namespace cddp::plan {
namespace {

constexpr double kMilli = 1e-3, kMicro = 1e-6, kNano = 1e-9;
constexpr uint64_t kLargeStep = 200'000;  // messages; from there on fewer steps are simulated

// A bucket's messages: a worker's push, a group's sum, the answer to a worker or group, a group's copy of it.
enum class Kind : uint8_t { kPush, kMerged, kAnswer, kCopy };
enum class Stage : uint8_t { kReady, kCompressed, kLeaves, kReaches, kReceived, kHandled, kPublished };

struct Event {
  double time;
  uint64_t order;  // at equal times the older first
  Stage stage;
  Kind kind;
  uint32_t member;  // worker, or group for kMerged and for kAnswer with a tree
  uint32_t bucket;
  bool operator>(const Event& other) const { return time != other.time ? time > other.time : order > other.order; }
};

struct Size {
  double entries = 0, lines = 0, bytes = 0;
};

// A worker's buckets that wait for its exchange thread, and compressed ones that wait for their call.
struct Exchange {
  std::deque<uint32_t> ready;
  bool is_busy = false;
  std::vector<uint32_t> batch;
  double batch_bytes = 0;
  double full_bytes = kLeastCallBytes;
  double first_push = 0;  // time of the step's first push
};

// The number of cache lines that entries at random places touch.
double LinesOf(uint64_t elements, double ratio) {
  constexpr double kLineElements = 16;
  return static_cast<double>(elements) / kLineElements * (1 - std::pow(1 - ratio, kLineElements));
}

class Simulation {
 public:
  Simulation(const ClusterSetting& setting, const std::vector<Bucket>& buckets, const CostConstants& costs,
             const ShardMap& shards)
      : s_(setting), buckets_(buckets), c_(costs), shards_(shards), servers_(shards.shard_count()) {
    groups_ = s_.tree == 0 ? 0 : (s_.workers + s_.tree - 1) / s_.tree;
    const size_t hosts = s_.workers + (s_.servers == 0 ? 0 : servers_) + groups_;
    links_.resize(hosts);
    processors_.assign(s_.shared_cores > 0 ? 1 : hosts, Processor(s_.shared_cores > 0 ? s_.shared_cores : s_.cores));
    at_server_.assign(buckets.size(), 0);
    at_group_.assign(buckets.size() * groups_, 0);
    left_.assign(s_.workers, 0);
    call_share_.assign(buckets.size() * s_.workers, 1.0F);
    exchanges_.resize(s_.workers);
    const double merged = 1 - std::pow(1 - s_.push_ratio, s_.tree);  // entries that any worker of a group sends
    const double published = s_.publish_ratio > 0 ? s_.publish_ratio : 1 - std::pow(1 - s_.push_ratio, s_.workers);
    for (const Bucket& bucket : buckets) {
      pushes_.push_back(SizeOf(bucket.elements, s_.push_ratio, s_.indices));
      merged_.push_back(s_.tree == 0 ? Size{} : SizeOf(bucket.elements, merged, s_.indices));
      const auto count = static_cast<uint32_t>(SelectedOf(bucket.elements, published));
      answers_.push_back(SizeOf(
          bucket.elements, published,
          s_.publish_ratio > 0 ? s_.indices : OrBitmap(s_.indices, static_cast<uint32_t>(bucket.elements), count)));
      moved_bytes_ += pushes_.back().bytes + answers_.back().bytes;
    }
  }

  StepForecast Run(int steps) {
    ended_.assign(steps + 1, 0.0);
    steps_.assign(s_.workers, 0);
    for (uint32_t worker = 0; worker < s_.workers; ++worker) BeginStep(worker, 0);
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      Handle(event);
    }
    return Forecast();
  }

 private:
  Size SizeOf(uint64_t elements, double ratio, IndexEncoding indices) {
    auto [known, is_new] = per_element_.try_emplace({elements, ratio, indices});
    if (is_new) {
      const double bytes = UpdateBytes(elements, ratio, s_.values, indices);
      known->second = {static_cast<double>(SelectedOf(elements, ratio)), LinesOf(elements, ratio), bytes};
    }
    return known->second;
  }

  void Push(double time, Stage stage, Kind kind, uint32_t member, uint32_t bucket) {
    events_.push({time, order_++, stage, kind, member, bucket});
  }

  double Work(uint32_t host, double time, double seconds) {
    return processors_[s_.shared_cores > 0 ? 0 : host].Work(time, seconds);
  }

  uint32_t ServerHost(uint32_t bucket) const {
    const uint32_t shard = shards_.shard_of(bucket);
    return s_.servers > 0 ? s_.workers + shard : static_cast<uint32_t>(uint64_t{shard} * s_.workers / servers_);
  }
  uint32_t GroupHost(uint32_t group) const { return static_cast<uint32_t>(links_.size()) - groups_ + group; }

  uint32_t From(const Event& e) const {
    switch (e.kind) {
      case Kind::kPush:
        return e.member;
      case Kind::kMerged:
        return GroupHost(e.member);
      case Kind::kAnswer:
        return ServerHost(e.bucket);
      case Kind::kCopy:
        return GroupHost(e.member / s_.tree);
    }
    return 0;
  }
  uint32_t To(const Event& e) const {
    switch (e.kind) {
      case Kind::kPush:
        return groups_ > 0 ? GroupHost(e.member / s_.tree) : ServerHost(e.bucket);
      case Kind::kMerged:
        return ServerHost(e.bucket);
      case Kind::kAnswer:
        return groups_ > 0 ? GroupHost(e.member) : e.member;
      case Kind::kCopy:
        return e.member;
    }
    return 0;
  }
  const Size& SizeOfMessage(const Event& e) const {
    return e.kind == Kind::kPush ? pushes_[e.bucket] : e.kind == Kind::kMerged ? merged_[e.bucket] : answers_[e.bucket];
  }
  // Part of a call that this message is: pushes that share a call share its cost, as do their answers.
  double CallShare(const Event& e) const {
    return groups_ > 0 ? 1.0 : call_share_[uint64_t{e.member} * buckets_.size() + e.bucket];
  }
  double WireBytes(const Event& e) const {
    return SizeOfMessage(e).bytes * c_.wire_factor + c_.message_bytes * CallShare(e);
  }
  double Seconds(double bytes) const { return bytes * 8 / (s_.bits_per_second * c_.goodput); }

  // The work at either end. Between programs of one host nothing is framed, checked and split into packets.
  double MessageWork(const Event& e) const {
    return c_.message_us * kMicro * CallShare(e) + (From(e) == To(e) ? 0 : WireBytes(e) * c_.byte_ns * kNano);
  }

  void BeginStep(uint32_t worker, double time) {
    left_[worker] = static_cast<uint32_t>(buckets_.size());
    exchanges_[worker].first_push = std::numeric_limits<double>::infinity();
    for (uint32_t bucket = left_[worker]; bucket-- > 0;) {
      const double passes = s_.local_steps - 1 + buckets_[bucket].ready;
      Push(time + passes * s_.compute_ms * kMilli, Stage::kReady, Kind::kPush, worker, bucket);
    }
  }

  void Send(double time, Kind kind, uint32_t member, uint32_t bucket) {
    const Event e{time, 0, Stage::kLeaves, kind, member, bucket};
    Push(Work(From(e), time, MessageWork(e)), Stage::kLeaves, kind, member, bucket);
  }

  // A worker's exchange thread takes the next bucket, if it has one and nothing else to do.
  void Compress(uint32_t worker, double time) {
    Exchange& exchange = exchanges_[worker];
    if (exchange.is_busy || exchange.ready.empty()) return;
    const uint32_t bucket = exchange.ready.front();
    exchange.ready.pop_front();
    exchange.is_busy = true;
    const double done = Work(worker, time, static_cast<double>(buckets_[bucket].elements) * c_.compress_ns * kNano);
    Push(done, Stage::kCompressed, Kind::kPush, worker, bucket);
  }

  // As worker/exchange/push_batch.h: pushes to one server that are ready together share a call.
  void Batch(uint32_t worker, double time, uint32_t bucket) {
    Exchange& exchange = exchanges_[worker];
    exchange.batch.push_back(bucket);
    exchange.batch_bytes += pushes_[bucket].bytes;
    if (!exchange.ready.empty()) {
      const uint32_t next = exchange.ready.front();
      if (shards_.shard_of(next) == shards_.shard_of(bucket) && exchange.batch.size() < kMostPushes &&
          exchange.batch_bytes + pushes_[next].bytes <= exchange.full_bytes) {
        return;
      }
    }
    exchange.first_push = std::min(exchange.first_push, time);
    for (uint32_t pushed : exchange.batch) {
      call_share_[uint64_t{worker} * buckets_.size() + pushed] = 1.0F / static_cast<float>(exchange.batch.size());
      Send(time, Kind::kPush, worker, pushed);
    }
    exchange.batch.clear();
    exchange.batch_bytes = 0;
  }

  void Handle(const Event& e) {
    switch (e.stage) {
      case Stage::kReady:
        exchanges_[e.member].ready.push_back(e.bucket);
        return Compress(e.member, e.time);
      case Stage::kCompressed:
        exchanges_[e.member].is_busy = false;
        Batch(e.member, e.time, e.bucket);
        return Compress(e.member, e.time);
      case Stage::kLeaves: {
        const double latency = c_.message_latency_ms * kMilli;
        if (From(e) == To(e)) return Push(e.time + latency, Stage::kReceived, e.kind, e.member, e.bucket);
        const double begin = links_[From(e)].up.Begin(e.time, Seconds(WireBytes(e)));
        sent_bytes_ += WireBytes(e);
        return Push(begin + latency + s_.latency_ms * kMilli, Stage::kReaches, e.kind, e.member, e.bucket);
      }
      case Stage::kReaches: {  // the first packet has arrived; the others follow as fast as both links allow
        Line& line = links_[To(e)].down;
        line.Begin(e.time, Seconds(WireBytes(e)));
        return Push(line.free(), Stage::kReceived, e.kind, e.member, e.bucket);
      }
      case Stage::kReceived: {
        const Size& size = SizeOfMessage(e);
        const double adding = (size.entries * c_.entry_ns + size.lines * c_.line_ns) * kNano;
        const double done = Work(To(e), e.time, MessageWork(e) + adding);
        return Push(done, Stage::kHandled, e.kind, e.member, e.bucket);
      }
      case Stage::kHandled:
        return Arrive(e);
      case Stage::kPublished: {
        for (uint32_t member = 0; member < Pushers(); ++member) Send(e.time, Kind::kAnswer, member, e.bucket);
        return;
      }
    }
  }

  // The number of hosts that push to the servers and get their answers.
  uint32_t Pushers() const { return groups_ > 0 ? groups_ : s_.workers; }
  uint32_t GroupEnd(uint32_t group) const { return std::min(s_.workers, (group + 1) * s_.tree); }

  void Arrive(const Event& e) {
    switch (e.kind) {
      case Kind::kPush:
        if (groups_ > 0) {
          const uint32_t group = e.member / s_.tree;
          uint32_t& arrived = at_group_[uint64_t{e.bucket} * groups_ + group];
          if (++arrived < GroupEnd(group) - group * s_.tree) return;
          arrived = 0;
          return Send(e.time, Kind::kMerged, group, e.bucket);
        }
        [[fallthrough]];
      case Kind::kMerged:
        if (++at_server_[e.bucket] == Pushers()) {
          at_server_[e.bucket] = 0;
          const double work = static_cast<double>(buckets_[e.bucket].elements) * c_.round_ns * kNano;
          const double done = Work(ServerHost(e.bucket), e.time, work);
          Push(done, Stage::kPublished, e.kind, e.member, e.bucket);
        }
        return;
      case Kind::kAnswer:
        if (groups_ == 0) return Applied(e.member, e.time);
        for (uint32_t worker = e.member * s_.tree; worker < GroupEnd(e.member); ++worker) {
          Send(e.time, Kind::kCopy, worker, e.bucket);
        }
        return;
      case Kind::kCopy:
        return Applied(e.member, e.time);
    }
  }

  void Applied(uint32_t worker, double time) {
    if (--left_[worker] > 0) return;
    Exchange& exchange = exchanges_[worker];
    exchange.full_bytes = static_cast<double>(FullCallBytes(moved_bytes_, time - exchange.first_push));
    ended_[++steps_[worker]] += time;
    if (steps_[worker] + 1 < ended_.size()) BeginStep(worker, time + c_.step_ms * kMilli);
  }

  StepForecast Forecast() const {
    const auto workers = static_cast<double>(s_.workers);
    const auto steps = static_cast<double>(ended_.size() - 1);
    const double passes = steps * s_.local_steps;
    const double total = ended_.back() / workers;
    StepForecast forecast;
    forecast.step_ms = (ended_.back() - *(ended_.end() - 2)) / workers / s_.local_steps / kMilli;
    if (steps == 1) forecast.step_ms += c_.step_ms / s_.local_steps;  // no wait came before it
    forecast.efficiency = s_.compute_ms / forecast.step_ms;
    forecast.sent_bytes = sent_bytes_ / passes;
    forecast.servers = servers_;
    for (const Processor& processor : processors_) {
      forecast.cpu_seconds += processor.busy() / passes;
      Note(Limit::kProcessor, processor.share(total), &forecast);
    }
    for (size_t host = 0; host < links_.size(); ++host) {
      const Limit limit = host < s_.workers                ? Limit::kWorkerLink
                          : host + groups_ < links_.size() ? Limit::kServerLink
                                                           : Limit::kAggregatorLink;
      Note(limit, links_[host].share(total), &forecast);
    }
    const double passing = s_.compute_ms * kMilli * passes / total;
    if (passing > forecast.busy) Note(Limit::kCompute, passing, &forecast);
    return forecast;
  }

  static void Note(Limit limit, double busy, StepForecast* forecast) {
    if (busy <= forecast->busy) return;
    forecast->busy = busy;
    forecast->limit = limit;
  }

  const ClusterSetting& s_;
  const std::vector<Bucket>& buckets_;
  const CostConstants& c_;
  const ShardMap& shards_;
  const uint32_t servers_;
  uint32_t groups_ = 0;
  std::vector<Link> links_;            // of workers, of servers on separate hosts, of aggregators
  std::vector<Processor> processors_;  // in the same order, or the one that all share
  std::map<std::tuple<uint64_t, double, IndexEncoding>, Size> per_element_;
  std::vector<Size> pushes_, merged_, answers_;  // by bucket
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t order_ = 0;
  std::vector<uint32_t> at_server_, at_group_, left_, steps_;
  std::vector<Exchange> exchanges_;  // by worker
  std::vector<float> call_share_;    // by worker and bucket
  std::vector<double> ended_;        // by step: the sum of the workers' times
  double sent_bytes_ = 0;
  double moved_bytes_ = 0;  // by each worker in a step, in both directions
};

absl::Status Validate(const ClusterSetting& s) {
  const auto is_ratio = [](double ratio) { return ratio > 0 && ratio <= 1; };
  if (s.workers == 0 || s.local_steps == 0 || s.cores == 0) {
    return absl::InvalidArgumentError("workers, local steps and cores must be at least 1");
  }
  if (!(s.bits_per_second > 0) || !(s.compute_ms > 0) || !(s.latency_ms >= 0) || !std::isfinite(s.bits_per_second) ||
      !std::isfinite(s.compute_ms) || !std::isfinite(s.latency_ms)) {
    return absl::InvalidArgumentError("rate and compute time must be above 0, latency must not be negative");
  }
  if (!is_ratio(s.push_ratio) || !(is_ratio(s.publish_ratio) || s.publish_ratio == 0)) {
    return absl::InvalidArgumentError("ratios must be in (0, 1]; a publish ratio of 0 means all that was pushed");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StepForecast> Simulate(const ClusterSetting& setting, const std::vector<Bucket>& buckets,
                                      const CostConstants& costs) {
  if (absl::Status status = Validate(setting); !status.ok()) return status;
  const auto count = static_cast<uint32_t>(buckets.size());
  const uint32_t servers = setting.servers > 0 ? setting.servers : std::min(setting.workers, count);
  absl::StatusOr<ShardMap> shards = ShardMap::Create(count, servers);
  if (!shards.ok()) return shards.status();
  const uint64_t messages = 2 * uint64_t{setting.workers} * count;
  if (messages > kMaxMessages) {
    return absl::InvalidArgumentError(absl::StrCat(messages, " messages a step are too many to simulate, at most ",
                                                   kMaxMessages, ": use larger buckets or fewer workers"));
  }
  return Simulation(setting, buckets, costs, *shards).Run(messages > kLargeStep ? 1 : 3);
}

}  // namespace cddp::plan
