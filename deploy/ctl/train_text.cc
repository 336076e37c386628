#include "deploy/ctl/train_text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "deploy/ctl/format.h"

namespace cddp::ctl {
namespace {

std::string Count(uint64_t count, absl::string_view what) {
  return absl::StrCat(FormatCount(count), " ", what, count == 1 ? "" : "s");
}

std::string FormatSeconds(double seconds) { return FormatElapsed(absl::Seconds(seconds)); }

// Bytes that all workers together move in one step.
double PerStep(uint64_t bytes, uint64_t steps) { return steps == 0 ? 0 : static_cast<double>(bytes) / steps; }

// "[#####.....]"
std::string Bar(double fraction, int width) {
  const int full = std::clamp(static_cast<int>(fraction * width), 0, width);
  return absl::StrCat("[", std::string(full, '#'), std::string(width - full, '.'), "]");
}

// "1.2 ms (3 %)", of a step that takes `step` seconds.
std::string Part(double seconds, double step) {
  return absl::StrFormat("%s (%.0f %%)", FormatSeconds(seconds), step > 0 ? 100 * seconds / step : 0);
}

std::string TrafficLine(absl::string_view what, uint64_t bytes, uint64_t dense_bytes, uint64_t steps) {
  std::string line =
      absl::StrFormat("%-10s%s, %s a step", what, FormatBytes(bytes), FormatBytes(PerStep(bytes, steps)));
  if (dense_bytes == 0 || bytes == 0) return line;
  const double part = static_cast<double>(bytes) / dense_bytes;
  absl::StrAppend(&line, ": ", FormatPercent(part), " of dense");
  if (part < 0.5) absl::StrAppend(&line, absl::StrFormat(", %.0f times less", 1 / part));
  return line;
}

}  // namespace

std::string DescribeJob(const TrainOptions& options) {
  std::string how = "dense";
  if (options.compress) {
    how = options.changes_ratio() ? absl::StrCat("ratio ", AbslUnparseFlag(options.changing_ratio))
                                  : absl::StrCat("ratio ", FormatExact(options.push_ratio()), " (",
                                                 Name(options.values()), ", ", Name(options.index_encoding), ")");
    if (options.pull_ratio() > 0) {
      absl::StrAppend(&how, ", publish ratio ", FormatExact(options.pull_ratio()));
    }
  }
  if (options.at_workers()) {
    absl::StrAppend(&how, ", ", options.optimizer, " at the workers, ",
                    options.changes_steps() ? absl::StrCat(AbslUnparseFlag(options.changing_steps), " steps")
                                            : Count(options.steps_alone(), "step"),
                    " an exchange");
  } else if (options.optimizer != "sgd") {
    absl::StrAppend(&how, ", ", options.optimizer, " at the servers");
  }
  return absl::StrCat(options.model, " on ",
                      options.learns_text() || options.learns_arrays() ? options.data : options.dataset, ": ",
                      Count(options.workers, "worker"), ", ", Count(options.servers, "server"), ", batch ",
                      options.workers, " x ", options.batch_size, ", ", how);
}

std::string DescribeModel(const JoinedEvent& model) {
  return absl::StrCat(model.model, " has ", Count(model.parameters, "parameter"), " in ",
                      Count(model.tensors, "tensor"), " and ", Count(model.buckets, "bucket"), "; ",
                      Count(model.steps_per_epoch, "step"), " an epoch");
}

std::string EpochLine(const TrainOptions& options, const EpochSummary& epoch) {
  const int digits = static_cast<int>(absl::StrCat(options.epochs).size());
  std::string line = absl::StrFormat("epoch %*d/%d", digits, epoch.epoch, options.epochs);
  if (!std::isnan(epoch.test_accuracy))
    absl::StrAppendFormat(&line, "  accuracy %s", FormatPercent(epoch.test_accuracy));
  absl::StrAppendFormat(&line, "  loss %.4f", epoch.train_loss);
  if (!std::isnan(epoch.test_loss)) absl::StrAppendFormat(&line, " (test %.4f)", epoch.test_loss);
  absl::StrAppendFormat(&line, "  %s/step  pushed %s pulled %s (%s saved)  %s",
                        FormatSeconds(epoch.SecondsPerStep().step), FormatBytes(epoch.traffic.pushed_bytes),
                        FormatBytes(epoch.traffic.pulled_bytes), FormatPercent(epoch.traffic.both_saved()),
                        FormatSeconds(epoch.seconds.step + epoch.seconds.evaluate));
  if (epoch.refused_steps > 0) {
    absl::StrAppend(&line, "  ", Count(epoch.refused_steps, "step"), " skipped: a gradient was not finite");
  }
  return line;
}

std::vector<std::string> StepParts(const TrainOptions& options, const TrainHistory& history) {
  if (!history.model().has_value()) return {"waiting for the workers"};
  if (!history.last_step().has_value()) return {absl::StrCat("epoch 1/", options.epochs), Bar(0, 20)};
  const StepEvent& step = *history.last_step();
  const uint64_t steps_per_epoch = std::max<uint64_t>(history.model()->steps_per_epoch, 1);
  std::vector<std::string> parts = {
      absl::StrFormat("epoch %d/%d", step.epoch, options.epochs),
      Bar(static_cast<double>(step.step) / steps_per_epoch, 20),
      absl::StrFormat("%d/%d", step.step, steps_per_epoch),
      absl::StrFormat("loss %.4f", step.loss),
  };
  if (step.step == 0) return parts;

  const double step_seconds = step.seconds.step / step.step;
  const double evaluate_seconds = history.epochs().empty() ? 0 : history.epochs().back().seconds.evaluate;
  const double epochs_left = options.epochs - step.epoch;
  const double steps_left = epochs_left * steps_per_epoch + (steps_per_epoch - std::min(step.step, steps_per_epoch));
  parts.push_back(absl::StrCat(FormatSeconds(step_seconds), "/step"));
  parts.push_back(absl::StrCat(
      "ETA ", FormatRemaining(absl::Seconds(steps_left * step_seconds + (epochs_left + 1) * evaluate_seconds))));

  // Rank 0 is representative: all workers send about the same number of bytes.
  const double workers = options.workers;
  const Traffic traffic = {step.pushed_bytes, step.pulled_bytes, step.step * history.model()->parameters * 4};
  parts.push_back(absl::StrFormat("push %s pull %s a step",
                                  FormatBytes(workers * PerStep(step.pushed_bytes, step.step)),
                                  FormatBytes(workers * PerStep(step.pulled_bytes, step.step))));
  parts.push_back(absl::StrCat(FormatPercent(traffic.both_saved()), " saved"));
  return parts;
}

std::vector<std::string> SummaryLines(const TrainOptions& options, const TrainHistory& history,
                                      const std::string& weights_crc32c, absl::Duration total) {
  const EpochSummary& last = history.epochs().back();
  // NaN, of an epoch without evaluation, is below all.
  const auto order = [](double accuracy) { return std::isnan(accuracy) ? -1 : accuracy; };
  const EpochSummary& best = *std::max_element(
      history.epochs().begin(), history.epochs().end(),
      [&](const EpochSummary& a, const EpochSummary& b) { return order(a.test_accuracy) < order(b.test_accuracy); });
  const Traffic traffic = history.TotalTraffic();
  const PhaseSeconds step = history.SecondsPerStep();
  const uint64_t steps = history.TotalSteps();

  std::vector<std::string> lines;
  if (!std::isnan(last.test_accuracy)) {
    lines.push_back(absl::StrCat(
        "accuracy  ", FormatPercent(last.test_accuracy), " of the test set after ", Count(last.epoch, "epoch"),
        best.epoch == last.epoch
            ? ""
            : absl::StrCat(" (best: ", FormatPercent(best.test_accuracy), " after ", best.epoch, ")")));
  } else if (history.MissedSteps(0) > 0) {
    lines.push_back(absl::StrCat("accuracy  not known after ", Count(last.epoch, "epoch")));
  }
  if (std::isnan(last.test_accuracy) && !std::isnan(last.test_loss)) {
    lines.push_back(absl::StrFormat("loss      %.4f nats of the validation text after %s", last.test_loss,
                                    Count(last.epoch, "epoch")));
  }
  lines.push_back(absl::StrCat("time      ", FormatElapsed(total), " in all, ", FormatSeconds(step.step),
                               " a step: ", "compute ", Part(step.compute, step.step), ", compress ",
                               Part(step.compress, step.step), ", exchange ", Part(step.exchange, step.step)));
  lines.push_back(TrafficLine("pushed", traffic.pushed_bytes, traffic.dense_bytes, steps));
  lines.push_back(TrafficLine("pulled", traffic.pulled_bytes, traffic.dense_bytes, steps));
  if (options.compress) {
    lines.push_back(absl::StrFormat("%-10s%s of the bytes pushed, %s of both directions", "saved",
                                    FormatPercent(traffic.push_saved()), FormatPercent(traffic.both_saved())));
  }
  lines.push_back(absl::StrCat("weights   checksum ", weights_crc32c,
                               options.workers == 1 || !options.ends_equal()
                                   ? ""
                                   : absl::StrCat(", the same at all ", options.workers, " workers")));
  return lines;
}

}  // namespace cddp::ctl
