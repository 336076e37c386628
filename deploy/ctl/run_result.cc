#include "deploy/ctl/run_result.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "deploy/ctl/format.h"

namespace cddp::ctl {
namespace {

// Rounds that the servers complete in a run, one for each exchange; 0: not known.
uint64_t RoundsOf(const TrainOptions& options, const TrainHistory& history) {
  if (options.changes_steps() || !history.model().has_value()) return 0;
  const uint64_t local = options.steps_alone();
  return options.epochs * ((history.model()->steps_per_epoch + local - 1) / local);
}

void JudgeSkipped(const TrainHistory& history, RunResult* result) {
  uint64_t skipped = 0;
  for (const EpochSummary& epoch : history.epochs()) skipped += epoch.refused_steps;
  if (skipped == 0) return;
  const std::string text = absl::StrCat(FormatCount(skipped), " of ", FormatCount(history.TotalSteps()),
                                        " steps were skipped: the loss or a gradient was not finite");
  if (2 * skipped >= history.TotalSteps()) {
    result->problems.push_back(absl::StrCat(text, "; lower --lr"));
  } else {
    result->notes.push_back(text);
  }
}

void JudgeLength(const TrainOptions& options, const TrainHistory& history, std::optional<uint64_t> version,
                 RunResult* result) {
  const int last = history.epochs().empty() ? 0 : history.epochs().back().epoch;
  if (last < options.epochs) {
    result->problems.push_back(absl::StrCat("the workers told of ", last, " epochs, not of ", options.epochs));
  }
  // In the other modes each contribution makes a version.
  if (options.consistency != "sync") return;
  const uint64_t rounds = RoundsOf(options, history);
  if (!version.has_value()) {
    result->notes.push_back("how many steps the servers trained is not known: they did not answer in the end");
  } else if (*version < rounds + 1) {
    result->problems.push_back(absl::StrCat("the servers trained ", FormatCount(*version == 0 ? 0 : *version - 1),
                                            " of ", FormatCount(rounds),
                                            options.steps_alone() > 1 ? " rounds" : " steps"));
  }
}

void JudgeLoss(const TrainHistory& history, RunResult* result) {
  if (history.epochs().empty()) return;
  const EpochSummary& last = history.epochs().back();
  const bool evaluated = !std::isnan(last.test_accuracy);
  if (!std::isfinite(last.train_loss) || (evaluated && !std::isfinite(last.test_loss))) {
    result->problems.push_back("the loss of the last epoch is not finite: the training diverged; lower --lr");
  }
  if (!evaluated && history.MissedSteps(0) > 0) {
    result->notes.push_back(absl::StrCat("the accuracy after epoch ", last.epoch,
                                         " is not known: worker 0, which evaluates, missed its end"));
  }
}

}  // namespace

RunResult JudgeRun(const TrainOptions& options, const TrainHistory& history, std::optional<uint64_t> servers_version) {
  RunResult result;
  JudgeSkipped(history, &result);
  JudgeLength(options, history, servers_version, &result);
  JudgeLoss(history, &result);
  for (int rank = 0; rank < options.workers; ++rank) {
    if (const uint64_t missed = history.MissedSteps(rank); missed > 0) {
      result.notes.push_back(absl::StrCat("worker ", rank, " missed ", FormatCount(missed), " of ",
                                          FormatCount(history.TotalSteps()), " steps: the others went on without it"));
    }
  }
  return result;
}

}  // namespace cddp::ctl
