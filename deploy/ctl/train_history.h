// The events of all workers so far, combined for the cluster.

#ifndef DEPLOY_CTL_TRAIN_HISTORY_H_
#define DEPLOY_CTL_TRAIN_HISTORY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "deploy/ctl/worker_events.h"

namespace cddp::ctl {

// Payload bytes of updates between all workers and all servers.
struct Traffic {
  uint64_t pushed_bytes = 0;
  uint64_t pulled_bytes = 0;
  uint64_t dense_bytes = 0;  // what dense float32 would cost, one way

  // The part of the dense bytes that was not sent; 0 if there were none.
  double push_saved() const;
  double pull_saved() const;
  double both_saved() const;

  void operator+=(const Traffic& other);
};

// One epoch for which no more events will come.
struct EpochSummary {
  int epoch = 0;       // from 1
  uint64_t steps = 0;  // of each worker that missed none
  uint64_t refused_steps = 0;
  double train_loss = 0;     // mean over the workers that made steps of it
  double test_loss = 0;      // NaN if it was not evaluated
  double test_accuracy = 0;  // NaN if it was not evaluated; 0 .. 1
  // Of the lowest rank that reported the epoch, which is 0 if it missed nothing. The other workers do the same work,
  // but begin an epoch by waiting for rank 0's evaluation, and count that as exchange.
  PhaseSeconds seconds;
  Traffic traffic;  // summed over workers

  PhaseSeconds SecondsPerStep() const;  // evaluate stays 0
};

// Collects the events of one run. Not thread-safe.
class TrainHistory {
 public:
  explicit TrainHistory(int workers) : workers_(workers), told_(workers), missed_(workers), done_(workers) {}

  // InvalidArgument if the event does not fit (a rank out of range). A worker that continues from a checkpoint may
  // report an epoch again: the first report counts.
  absl::Status Add(const WorkerEvent& event);

  // The model; nullopt until the first worker has joined.
  const std::optional<JoinedEvent>& model() const { return model_; }

  // Rank 0's latest step; never cleared.
  const std::optional<StepEvent>& last_step() const { return last_step_; }

  // Epochs that are complete, in order. A worker that was away while the others continued reports nothing for the
  // epochs that it missed: each of these is complete once the worker has reported a later one, or has ended.
  const std::vector<EpochSummary>& epochs() const { return epochs_; }

  // By time. A worker that repeats steps makes no new decisions, but reports again where it continues.
  const std::vector<RatioEvent>& ratios() const { return ratios_; }

  // The common decisions of all workers: ascending, each a change.
  const std::vector<LocalStepsEvent>& local_steps() const { return local_steps_; }

  bool done(int rank) const { return done_[rank].has_value(); }

  // The checksum of the trained weights at worker 0. With `must_agree` all workers must have the same: Internal names
  // those that do not. Internal, too, if a worker has not reported it.
  absl::StatusOr<std::string> WeightsChecksum(bool must_agree) const;

  // Steps of the complete epochs that the others made without this worker.
  uint64_t MissedSteps(int rank) const { return missed_[rank]; }

  // Over all complete epochs, as in EpochSummary.
  uint64_t TotalSteps() const;
  Traffic TotalTraffic() const;
  PhaseSeconds SecondsPerStep() const;

 private:
  void AddEpoch(const EpochEvent& event);
  void CloseEpochs();
  void Close(const std::map<int, EpochEvent>& by_rank);

  const int workers_;
  std::optional<JoinedEvent> model_;
  std::optional<StepEvent> last_step_;
  std::map<int, std::map<int, EpochEvent>> open_epochs_;  // epoch -> rank -> event, until it is complete
  std::vector<EpochSummary> epochs_;
  std::vector<int> told_;         // by rank: the latest epoch that it has reported
  std::vector<uint64_t> missed_;  // by rank
  std::vector<RatioEvent> ratios_;
  std::vector<LocalStepsEvent> local_steps_;
  std::vector<std::optional<DoneEvent>> done_;
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_TRAIN_HISTORY_H_
