#include "deploy/ctl/plan_command.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/codec/encoding.h"
#include "common/config/command_line.h"
#include "common/config/ratio_choice.h"
#include "common/config/steps_choice.h"
#include "deploy/ctl/command_flags.h"
#include "deploy/ctl/format.h"
#include "deploy/plan/memory_needs.h"
#include "deploy/plan/plan_input.h"
#include "deploy/plan/scaling_study.h"
#include "deploy/plan/step_simulation.h"
#include "deploy/plan/workload.h"

ABSL_FLAG(uint64_t, parameters, 0, "size of the model, if there is no --shapes");
ABSL_FLAG(std::string, shapes, "", "file with the model's tensors, [{\"shape\":[64,3,7,7], \"cost\":1.5}, ...]");
ABSL_FLAG(std::string, rate, "1gbit", "of each host's link and direction: 100mbit, 2.5gbit");
ABSL_FLAG(double, latency_ms, 0.1, "of the network, one way");
ABSL_FLAG(double, compute_ms, 100, "of a forward and backward pass on one worker");
ABSL_FLAG(uint32_t, cores, 8, "of each host, for everything except the passes");
ABSL_FLAG(uint32_t, shared_cores, 0,
          "cores that do the work of all hosts, as in tests/bench/netlab; 0: each host has its own");
ABSL_FLAG(uint32_t, tree, 0,
          "workers that push through one aggregator (a study; not built); 0: there are no aggregators");
ABSL_FLAG(uint32_t, most_workers, 0,
          "study how the cluster scales up to this number of workers, and what helps; 0: no study");
ABSL_FLAG(std::string, costs, "", "other constants than deploy/plan/cost_constants.h has: compress_ns=1.5,goodput=0.9");

// Flags of train with the same meaning here.
ABSL_DECLARE_FLAG(int, workers);
ABSL_DECLARE_FLAG(cddp::StepsChoice, local_steps);
ABSL_DECLARE_FLAG(int, bucket_bytes);
ABSL_DECLARE_FLAG(cddp::RatioChoice, ratio);
ABSL_DECLARE_FLAG(double, publish_ratio);
ABSL_DECLARE_FLAG(std::string, optimizer);
ABSL_DECLARE_FLAG(cddp::ValueEncoding, value_encoding);
ABSL_DECLARE_FLAG(cddp::IndexEncoding, index_encoding);
ABSL_DECLARE_FLAG(bool, json);  // a flag of status

namespace cddp::ctl {
namespace {

using plan::Bucket;
using plan::ClusterSetting;
using plan::StepForecast;

constexpr char kPlanUsage[] =
    "cddp plan: predicts step time, efficiency, servers and memory of a cluster, by a simulation whose constants were\n"
    "measured with tests/bench/netlab.\n\n"
    "  cddp plan --parameters=25557032 --workers=8 --rate=1gbit --compute_ms=50\n"
    "  cddp plan --parameters=25557032 --rate=1gbit --compute_ms=50 --most_workers=10000\n\n"
    "Flags of cddp train that mean the same here: --workers --local_steps --bucket_bytes --ratio --publish_ratio\n"
    "--value_encoding --index_encoding --optimizer; --servers=N is N servers on separate hosts, without it several\n"
    "numbers are tried; --json prints the prediction for scripts.";

const std::vector<std::string> kSharedFlags = {"workers",        "local_steps",   "bucket_bytes",
                                               "ratio",          "publish_ratio", "value_encoding",
                                               "index_encoding", "optimizer",     "json"};

constexpr double kNearBest = 1.05;  // a step may take this much longer if that saves a server

struct Input {
  std::vector<plan::CostedTensor> model;
  uint64_t bucket_elements = 0;
  std::vector<Bucket> buckets;
  ClusterSetting setting;
  uint32_t state_floats = 1;
  plan::CostConstants costs;
};

absl::StatusOr<std::vector<plan::CostedTensor>> ModelFromFlags() {
  const std::string path = absl::GetFlag(FLAGS_shapes);
  const uint64_t parameters = absl::GetFlag(FLAGS_parameters);
  if (path.empty()) {
    if (parameters == 0) return absl::InvalidArgumentError("give the model's size: --parameters=25557032, or --shapes");
    return plan::EvenModel(parameters);
  }
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::InvalidArgumentError(absl::StrCat("--shapes=", path, ": cannot be read"));
  absl::StatusOr<std::vector<plan::CostedTensor>> model = plan::ParseShapes(text.str());
  if (!model.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--shapes=", path, ": ", model.status().message()));
  }
  return model;
}

absl::StatusOr<Input> InputFromFlags() {
  Input input;
  absl::StatusOr<std::vector<plan::CostedTensor>> model = ModelFromFlags();
  if (!model.ok()) return model.status();
  input.model = *std::move(model);
  absl::StatusOr<double> rate = plan::ParseRate(absl::GetFlag(FLAGS_rate));
  if (!rate.ok()) return rate.status();
  absl::StatusOr<plan::CostConstants> costs = plan::ParseCosts(absl::GetFlag(FLAGS_costs));
  if (!costs.ok()) return costs.status();
  input.costs = *costs;
  if (absl::GetFlag(FLAGS_workers) < 1) return absl::InvalidArgumentError("--workers must be at least 1");
  if (absl::GetFlag(FLAGS_bucket_bytes) < 0) return absl::InvalidArgumentError("--bucket_bytes must not be negative");
  input.bucket_elements = (absl::GetFlag(FLAGS_bucket_bytes) + 3) / sizeof(float);
  input.buckets = plan::MakeBuckets(input.model, input.bucket_elements);
  ClusterSetting& setting = input.setting;
  setting.workers = absl::GetFlag(FLAGS_workers);
  setting.bits_per_second = *rate;
  setting.latency_ms = absl::GetFlag(FLAGS_latency_ms);
  setting.compute_ms = absl::GetFlag(FLAGS_compute_ms);
  // The values for sgd, where they depend on the optimizer.
  const StepsChoice steps = absl::GetFlag(FLAGS_local_steps);
  if (steps.kind != StepsChoice::Kind::kFixed) {
    return absl::InvalidArgumentError("plan: --local_steps must be a number: of which a plan is to be made");
  }
  setting.local_steps = std::max(steps.steps, 1u);
  const RatioChoice ratio = absl::GetFlag(FLAGS_ratio);
  if (ratio.kind != RatioChoice::Kind::kFixed) {
    return absl::InvalidArgumentError("plan: --ratio must be a number: of which a plan is to be made");
  }
  setting.push_ratio = ratio.ratio == 0 ? 0.01 : ratio.ratio;
  setting.publish_ratio = absl::GetFlag(FLAGS_publish_ratio);
  setting.values = absl::GetFlag(FLAGS_value_encoding);
  setting.indices = absl::GetFlag(FLAGS_index_encoding);
  setting.cores = absl::GetFlag(FLAGS_cores);
  setting.shared_cores = absl::GetFlag(FLAGS_shared_cores);
  setting.tree = absl::GetFlag(FLAGS_tree);
  if (const std::string servers = absl::GetFlag(FLAGS_servers);
      !servers.empty() && !absl::SimpleAtoi(servers, &setting.servers)) {
    return absl::InvalidArgumentError(absl::StrCat("--servers=", servers, ": must be a number"));
  }
  input.state_floats = absl::GetFlag(FLAGS_optimizer) == "sgd" ? 1 : 2;
  return input;
}

std::string Row(const std::string& name, const Input& input, const StepForecast& forecast) {
  const plan::MemoryNeeds needs = plan::NeedsOf(input.setting, input.buckets, forecast.servers, input.state_floats);
  return absl::StrFormat("%-26s %8.1f ms  %5.1f %%  %11s a step  %9s a server  %s, %.0f %%\n", name, forecast.step_ms,
                         100 * forecast.efficiency, FormatBytes(forecast.sent_bytes), FormatBytes(needs.server_bytes),
                         plan::Describe(forecast.limit), 100 * forecast.busy);
}

absl::Status PrintJson(const Input& input) {
  absl::StatusOr<StepForecast> forecast = plan::Simulate(input.setting, input.buckets, input.costs);
  if (!forecast.ok()) return forecast.status();
  const plan::MemoryNeeds needs = plan::NeedsOf(input.setting, input.buckets, forecast->servers, input.state_floats);
  const nlohmann::ordered_json json = {{"step_ms", forecast->step_ms},
                                       {"efficiency", forecast->efficiency},
                                       {"sent_bytes", forecast->sent_bytes},
                                       {"cpu_seconds", forecast->cpu_seconds},
                                       {"servers", forecast->servers},
                                       {"limit", plan::Describe(forecast->limit)},
                                       {"busy", forecast->busy},
                                       {"server_memory_bytes", needs.server_bytes},
                                       {"worker_memory_bytes", needs.worker_bytes}};
  std::printf("%s\n", json.dump().c_str());
  return absl::OkStatus();
}

// One server on each worker's host, and servers on separate hosts: the number asked for, or 1, 2, 4, ...
absl::Status PrintServers(Input input) {
  std::printf("%-26s %11s  %7s  %18s  %18s  %s\n", "servers", "step", "compute", "sent by all hosts", "memory",
              "busiest");
  std::vector<uint32_t> counts = {0};
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(input.setting.workers, input.buckets.size()));
  for (uint32_t count = 1; count < most; count *= 2) counts.push_back(count);
  counts.push_back(most);
  if (input.setting.servers > 0) counts = {input.setting.servers};
  std::vector<std::pair<uint32_t, double>> steps;
  for (uint32_t count : counts) {
    input.setting.servers = count;
    absl::StatusOr<StepForecast> forecast = plan::Simulate(input.setting, input.buckets, input.costs);
    if (!forecast.ok()) return forecast.status();
    steps.emplace_back(count, forecast->step_ms);
    const std::string name = count == 0 ? "one beside each worker" : absl::StrCat(count, " on hosts of their own");
    std::fputs(Row(name, input, *forecast).c_str(), stdout);
  }
  if (steps.size() > 1) {
    double best = steps.front().second;
    for (const auto& [count, step] : steps) best = std::min(best, step);
    for (const auto& [count, step] : steps) {
      if (step > kNearBest * best) continue;
      std::printf("\nrecommended: %s\n", count == 0   ? "a server beside each worker, no more hosts"
                                         : count == 1 ? "1 server"
                                                      : absl::StrCat(count, " servers").c_str());
      break;
    }
  }
  const plan::MemoryNeeds needs = plan::NeedsOf(input.setting, input.buckets, 1, input.state_floats);
  std::printf("each worker needs %s besides activations and batches\n", FormatBytes(needs.worker_bytes).c_str());
  return absl::OkStatus();
}

absl::Status PrintStudy(const Input& input) {
  absl::StatusOr<plan::ScalingStudy> study = plan::StudyScaling(input.setting, input.model, input.bucket_elements,
                                                                absl::GetFlag(FLAGS_most_workers), input.costs);
  if (!study.ok()) return study.status();
  const auto print = [](const std::string& name, const StepForecast& forecast) {
    std::printf("%9.1f ms  %5.1f %%  %4d servers  busiest: %s, %.0f %%   %s\n", forecast.step_ms,
                100 * forecast.efficiency, forecast.servers, std::string(plan::Describe(forecast.limit)).c_str(),
                100 * forecast.busy, name.c_str());
  };
  for (const plan::ScalePoint& point : study->growth) {
    print(absl::StrCat(FormatCount(point.workers), " workers"), point.forecast);
  }
  if (study->stops_at == 0) {
    std::printf("\nscales up to %s workers\n", FormatCount(study->growth.back().workers).c_str());
  } else {
    std::printf("\nstops scaling before %s workers: less than %.0f %% of the smallest cluster's efficiency\n",
                FormatCount(study->stops_at).c_str(), 100 * plan::ScalingStudy::kGood);
  }
  std::printf("\nwhat helps with %s workers:\n", FormatCount(study->growth.back().workers).c_str());
  for (const plan::ScalePoint& point : study->remedies) print(point.change, point.forecast);
  return absl::OkStatus();
}

}  // namespace

int RunPlanCommand(int argc, char** argv) {
  ParseCommandFlagsOrExit(argc, argv, kPlanUsage, {{"deploy/ctl/plan_command.cc", kCommandFlagFile}, kSharedFlags});
  absl::StatusOr<Input> input = InputFromFlags();
  if (!input.ok()) return ReportError(input.status());
  absl::Status status = absl::GetFlag(FLAGS_json)           ? PrintJson(*input)
                        : absl::GetFlag(FLAGS_most_workers) ? PrintStudy(*input)
                                                            : PrintServers(*input);
  return status.ok() ? 0 : ReportError(status);
}

}  // namespace cddp::ctl
