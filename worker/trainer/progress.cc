#include "worker/trainer/progress.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/clock/monotonic.h"

namespace cddp {
namespace {

constexpr absl::Duration kStepEventPeriod = absl::Milliseconds(500);

void PrintLine(const nlohmann::json& line) {
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

// For the end of a log line.
std::string Describe(const std::optional<TestResult>& test) {
  if (!test.has_value()) return "";
  if (std::isnan(test->accuracy)) return fmt::format(" test_loss={:.4f}", test->loss);
  return fmt::format(" test_loss={:.4f} test_accuracy={:.4f}", test->loss, test->accuracy);
}

}  // namespace

void Progress::Joined(const JoinedEvent& event) {
  if (json_) {
    PrintLine({{"event", "joined"},
               {"rank", rank_},
               {"model", event.model},
               {"parameters", event.parameters},
               {"tensors", event.tensors},
               {"buckets", event.buckets},
               {"steps_per_epoch", event.steps_per_epoch}});
    return;
  }
  spdlog::info("event=joined model={} parameters={} buckets={} steps_per_epoch={}", event.model, event.parameters,
               event.buckets, event.steps_per_epoch);
}

void Progress::Step(uint64_t epoch, double last_loss, const EpochTotals& totals) {
  const absl::Duration now = MonotonicNow();
  if (now - told_ < kStepEventPeriod || !json_) return;
  told_ = now;
  PrintLine({{"event", "step"},
             {"rank", rank_},
             {"epoch", epoch},
             {"step", totals.steps},
             {"loss", last_loss},
             {"seconds",
              {{"step", totals.step_seconds},
               {"compute", totals.compute_seconds},
               {"compress", totals.compress_seconds},
               {"exchange", totals.exchange_seconds}}},
             {"pushed_bytes", totals.pushed_bytes},
             {"pulled_bytes", totals.pulled_bytes}});
}

void Progress::Epoch(uint64_t epoch, const EpochTotals& totals, uint64_t dense_bytes,
                     const std::optional<TestResult>& test) {
  const double mean_loss = totals.loss / static_cast<double>(std::max<uint64_t>(totals.steps, 1));
  if (json_) {
    nlohmann::json line = {{"event", "epoch"},
                           {"rank", rank_},
                           {"epoch", epoch},
                           {"steps", totals.steps},
                           {"refused_steps", totals.refused_steps},
                           {"train_loss", mean_loss},
                           {"seconds",
                            {{"total", totals.step_seconds + totals.evaluate_seconds},
                             {"compute", totals.compute_seconds},
                             {"compress", totals.compress_seconds},
                             {"exchange", totals.exchange_seconds},
                             {"evaluate", totals.evaluate_seconds}}},
                           {"pushed_bytes", totals.pushed_bytes},
                           {"pulled_bytes", totals.pulled_bytes},
                           {"dense_bytes", dense_bytes}};
    if (test.has_value()) {
      line["test_loss"] = test->loss;
      if (!std::isnan(test->accuracy)) line["test_accuracy"] = test->accuracy;
    }
    PrintLine(line);
    return;
  }
  spdlog::info("event=epoch epoch={} train_loss={:.4f} step_ms={:.1f} pushed_bytes={} pulled_bytes={}{}", epoch,
               mean_loss, 1e3 * totals.step_seconds / static_cast<double>(std::max<uint64_t>(totals.steps, 1)),
               totals.pushed_bytes, totals.pulled_bytes, Describe(test));
}

void Progress::Ratio(uint64_t step, const SendLevel& level) {
  const std::string values(Name(level.value_encoding));
  const std::string indices(Name(level.index_encoding));
  if (json_) {
    PrintLine({{"event", "ratio"},
               {"rank", rank_},
               {"step", step},
               {"ratio", level.ratio},
               {"value_encoding", values},
               {"index_encoding", indices}});
  } else {
    spdlog::info("event=ratio step={} ratio={} value_encoding={} index_encoding={}", step, level.ratio, values,
                 indices);
  }
}

void Progress::LocalSteps(uint64_t exchange, uint32_t steps) {
  if (json_) {
    PrintLine({{"event", "local_steps"}, {"rank", rank_}, {"exchange", exchange}, {"local_steps", steps}});
  } else {
    spdlog::info("event=local_steps exchange={} local_steps={}", exchange, steps);
  }
}

void Progress::Done(uint64_t steps, uint32_t weights_crc32c) {
  const std::string checksum = absl::StrFormat("%08x", weights_crc32c);
  if (json_) {
    PrintLine({{"event", "done"}, {"rank", rank_}, {"steps", steps}, {"weights_crc32c", checksum}});
    return;
  }
  spdlog::info("event=done steps={} weights_crc32c={}", steps, checksum);
}

}  // namespace cddp
