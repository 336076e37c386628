#include "deploy/ctl/train_history.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cddp::ctl {
namespace {

double Saved(uint64_t bytes, uint64_t dense_bytes) {
  return dense_bytes == 0 ? 0 : 1 - static_cast<double>(bytes) / dense_bytes;
}

void AddSteps(PhaseSeconds* sum, const PhaseSeconds& seconds) {
  sum->step += seconds.step;
  sum->compute += seconds.compute;
  sum->compress += seconds.compress;
  sum->exchange += seconds.exchange;
}

PhaseSeconds PerStep(const PhaseSeconds& sum, uint64_t steps) {
  PhaseSeconds mean;
  if (steps == 0) return mean;
  mean.step = sum.step / steps;
  mean.compute = sum.compute / steps;
  mean.compress = sum.compress / steps;
  mean.exchange = sum.exchange / steps;
  return mean;
}

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace

double Traffic::push_saved() const { return Saved(pushed_bytes, dense_bytes); }
double Traffic::pull_saved() const { return Saved(pulled_bytes, dense_bytes); }
double Traffic::both_saved() const { return Saved(pushed_bytes + pulled_bytes, 2 * dense_bytes); }

void Traffic::operator+=(const Traffic& other) {
  pushed_bytes += other.pushed_bytes;
  pulled_bytes += other.pulled_bytes;
  dense_bytes += other.dense_bytes;
}

PhaseSeconds EpochSummary::SecondsPerStep() const { return PerStep(seconds, steps); }

absl::Status TrainHistory::Add(const WorkerEvent& event) {
  const int rank = std::visit(Overloaded{[](const ListeningEvent&) { return 0; }, [](const OtherEvent&) { return 0; },
                                         [](const auto& from_worker) { return from_worker.rank; }},
                              event);
  if (rank >= workers_) return absl::InvalidArgumentError(absl::StrCat("there is no worker ", rank));
  return std::visit(Overloaded{
                        [&](const JoinedEvent& joined) {
                          if (!model_.has_value()) model_ = joined;
                          return absl::OkStatus();
                        },
                        [&](const StepEvent& step) {
                          if (step.rank == 0) last_step_ = step;
                          return absl::OkStatus();
                        },
                        [&](const EpochEvent& epoch) {
                          AddEpoch(epoch);
                          return absl::OkStatus();
                        },
                        [&](const RatioEvent& ratio) {
                          ratios_.push_back(ratio);
                          return absl::OkStatus();
                        },
                        [&](const LocalStepsEvent& decided) {
                          const bool is_news =
                              local_steps_.empty() || (decided.exchange > local_steps_.back().exchange &&
                                                       decided.local_steps != local_steps_.back().local_steps);
                          if (is_news) local_steps_.push_back(decided);
                          return absl::OkStatus();
                        },
                        [&](const DoneEvent& done) {
                          done_[done.rank] = done;
                          CloseEpochs();
                          return absl::OkStatus();
                        },
                        [&](const auto&) { return absl::OkStatus(); },
                    },
                    event);
}

void TrainHistory::AddEpoch(const EpochEvent& event) {
  if (!epochs_.empty() && event.epoch <= epochs_.back().epoch) return;
  open_epochs_[event.epoch].emplace(event.rank, event);
  told_[event.rank] = std::max(told_[event.rank], event.epoch);
  CloseEpochs();
}

void TrainHistory::CloseEpochs() {
  while (!open_epochs_.empty()) {
    const auto& [epoch, by_rank] = *open_epochs_.begin();
    for (int rank = 0; rank < workers_; ++rank) {
      if (told_[rank] < epoch && !done(rank)) return;
    }
    Close(by_rank);
    open_epochs_.erase(open_epochs_.begin());
  }
}

void TrainHistory::Close(const std::map<int, EpochEvent>& by_rank) {
  EpochSummary summary;
  const EpochEvent& first = by_rank.begin()->second;
  summary.epoch = first.epoch;
  summary.test_loss = first.test_loss;
  summary.test_accuracy = first.test_accuracy;
  summary.seconds = first.seconds;
  int trained = 0;
  for (const auto& [rank, epoch] : by_rank) {
    summary.steps = std::max(summary.steps, epoch.steps);
    summary.refused_steps = std::max(summary.refused_steps, epoch.refused_steps);
    summary.traffic += {epoch.pushed_bytes, epoch.pulled_bytes, epoch.dense_bytes};
    if (epoch.steps == 0) continue;
    summary.train_loss += epoch.train_loss;
    ++trained;
  }
  summary.train_loss = trained == 0 ? std::numeric_limits<double>::quiet_NaN() : summary.train_loss / trained;
  for (int rank = 0; rank < workers_; ++rank) {
    const auto told = by_rank.find(rank);
    missed_[rank] += summary.steps - (told == by_rank.end() ? 0 : told->second.steps);
  }
  epochs_.push_back(summary);
}

absl::StatusOr<std::string> TrainHistory::WeightsChecksum(bool must_agree) const {
  for (int rank = 0; rank < workers_; ++rank) {
    if (!done(rank)) return absl::InternalError(absl::StrCat("worker ", rank, " did not report its weights' checksum"));
    if (must_agree && done_[rank]->weights_crc32c != done_[0]->weights_crc32c) {
      return absl::InternalError(absl::StrCat("workers ended with different weights: checksum ",
                                              done_[0]->weights_crc32c, " at worker 0, ", done_[rank]->weights_crc32c,
                                              " at worker ", rank));
    }
  }
  return done_[0]->weights_crc32c;
}

Traffic TrainHistory::TotalTraffic() const {
  Traffic total;
  for (const EpochSummary& epoch : epochs_) total += epoch.traffic;
  return total;
}

uint64_t TrainHistory::TotalSteps() const {
  uint64_t steps = 0;
  for (const EpochSummary& epoch : epochs_) steps += epoch.steps;
  return steps;
}

PhaseSeconds TrainHistory::SecondsPerStep() const {
  PhaseSeconds sum;
  for (const EpochSummary& epoch : epochs_) AddSteps(&sum, epoch.seconds);
  return PerStep(sum, TotalSteps());
}

}  // namespace cddp::ctl
