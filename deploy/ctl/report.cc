#include "deploy/ctl/report.h"

#include <grpcpp/grpcpp.h>

#include <nlohmann/json.hpp>

#include "common/transport/protocol.h"

namespace cddp::ctl {
namespace {

using Json = nlohmann::ordered_json;

const char* Name(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return "running";
    case RunState::kFinished:
      return "finished";
    case RunState::kFailed:
      return "failed";
    case RunState::kInterrupted:
      return "interrupted";
  }
  return "";
}

std::string UtcTime(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

// Milliseconds of one step of one worker; total includes time outside of the three parts.
Json StepMilliseconds(const PhaseSeconds& step) {
  return {{"total", 1e3 * step.step},
          {"compute", 1e3 * step.compute},
          {"compress", 1e3 * step.compress},
          {"exchange", 1e3 * step.exchange}};
}

// Payload bytes summed over workers, and the part of dense float32 that was not sent (0 .. 1).
void AddTraffic(const Traffic& traffic, Json* json) {
  (*json)["pushed_bytes"] = traffic.pushed_bytes;
  (*json)["pulled_bytes"] = traffic.pulled_bytes;
  (*json)["dense_bytes"] = traffic.dense_bytes;  // one way
  (*json)["push_saved"] = traffic.push_saved();
  (*json)["pull_saved"] = traffic.pull_saved();
  (*json)["both_saved"] = traffic.both_saved();
}

Json Configuration(const TrainOptions& options) {
  return {
      {"model", options.model},
      {"dataset", options.dataset},
      {"data_dir", options.data_dir},
      {"data", options.data},
      {"loss", AbslUnparseFlag(options.loss)},
      {"layers", options.layers},
      {"dim", options.dim},
      {"heads", options.heads},
      {"context", options.context},
      {"workers", options.workers},
      {"servers", options.servers},
      {"epochs", options.epochs},
      {"batch_size", options.batch_size},
      {"lr", options.rate()},
      {"momentum", options.momentum},
      {"nesterov", options.nesterov},
      {"weight_decay", options.weight_decay},
      {"optimizer", options.optimizer},
      {"consistency", options.consistency},
      {"quorum", options.quorum},
      {"max_staleness", options.max_staleness},
      {"optimizer_at", options.at_workers() ? "workers" : "servers"},
      {"outer_lr", options.outer_lr},
      {"outer_momentum", options.outer_momentum},
      {"outer_nesterov", options.outer_nesterov},
      {"optimizer_flags", options.optimizer_flags},
      {"local_steps",
       options.changes_steps() ? Json(AbslUnparseFlag(options.changing_steps)) : Json(options.steps_alone())},
      {"overlap", options.overlap},
      {"server_flags", options.server_flags},
      {"worker_flags", options.worker_flags},
      {"seed", options.seed},
      {"compress", options.compress},
      {"ratio", options.changes_ratio() ? Json(AbslUnparseFlag(options.changing_ratio)) : Json(options.push_ratio())},
      {"publish_ratio", options.pull_ratio()},
      {"value_encoding", std::string(Name(options.values()))},
      {"index_encoding", std::string(Name(options.index_encoding))},
      {"bucket_bytes", options.bucket_bytes},
      {"train_examples", options.train_examples},
      {"test_examples", options.test_examples},
      {"threads", options.threads},
      {"device", options.device}};
}

Json Epoch(const EpochSummary& epoch) {
  Json json = {{"epoch", epoch.epoch},
               {"steps", epoch.steps},
               {"refused_steps", epoch.refused_steps},
               {"train_loss", epoch.train_loss},
               {"test_loss", epoch.test_loss},          // null: not evaluated
               {"test_accuracy", epoch.test_accuracy},  // 0 .. 1
               {"seconds", epoch.seconds.step + epoch.seconds.evaluate},
               {"evaluate_seconds", epoch.seconds.evaluate},
               {"step_ms", StepMilliseconds(epoch.SecondsPerStep())}};
  AddTraffic(epoch.traffic, &json);
  return json;
}

}  // namespace

std::string ReportJson(const TrainOptions& options, const TrainHistory& history, const RunOutcome& outcome) {
  Json report;
  report["state"] = Name(outcome.state);
  report["run"] = options.run;
  report["error"] = outcome.error.empty() ? Json() : Json(outcome.error);
  report["problems"] =
      outcome.result.problems;             // if any: all workers ended well, but the result is not what was asked for
  report["notes"] = outcome.result.notes;  // missing or unknown facts
  report["started_at"] = UtcTime(outcome.started_at);
  report["seconds"] = absl::ToDoubleSeconds(outcome.total);  // from start to end, processes and data included

  // As of the last complete epoch.
  const EpochSummary* last = history.epochs().empty() ? nullptr : &history.epochs().back();
  report["test_accuracy"] = last == nullptr ? Json() : Json(last->test_accuracy);
  report["train_loss"] = last == nullptr ? Json() : Json(last->train_loss);
  report["weights_crc32c"] = outcome.weights_crc32c.empty() ? Json() : Json(outcome.weights_crc32c);

  // The servers' version at the end: one more than the rounds that they completed.
  report["servers_version"] = outcome.servers_version.has_value() ? Json(*outcome.servers_version) : Json();

  // Over all complete epochs.
  report["steps"] = history.TotalSteps();
  report["step_ms"] = StepMilliseconds(history.SecondsPerStep());
  AddTraffic(history.TotalTraffic(), &report);

  report["configuration"] = Configuration(options);
  report["model"] = Json();
  if (const std::optional<JoinedEvent>& model = history.model(); model.has_value()) {
    report["model"] = {{"name", model->model},
                       {"parameters", model->parameters},
                       {"tensors", model->tensors},
                       {"buckets", model->buckets},
                       {"steps_per_epoch", model->steps_per_epoch}};
  }
  report["epochs"] = Json::array();
  for (const EpochSummary& epoch : history.epochs()) report["epochs"].push_back(Epoch(epoch));

  if (!history.ratios().empty()) {
    report["ratios"] = Json::array();  // the workers' decisions with --ratio=auto
    for (const RatioEvent& ratio : history.ratios()) {
      report["ratios"].push_back({{"rank", ratio.rank},
                                  {"step", ratio.step},
                                  {"ratio", ratio.ratio},
                                  {"value_encoding", ratio.value_encoding}});
    }
  }

  if (!history.local_steps().empty()) {
    report["local_steps"] = Json::array();  // the workers' decisions with --local_steps=auto
    for (const LocalStepsEvent& decided : history.local_steps()) {
      report["local_steps"].push_back({{"exchange", decided.exchange}, {"local_steps", decided.local_steps}});
    }
  }

  report["versions"] = {{"cddp", CDDP_VERSION}, {"protocol", kProtocolVersion}, {"grpc", grpc::Version()}};
  if (history.model().has_value() && !history.model()->libtorch.empty()) {
    report["versions"]["libtorch"] = history.model()->libtorch;
  }
  // Paths and model names come from outside and need not be UTF-8.
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cddp::ctl
