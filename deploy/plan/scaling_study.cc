#include "deploy/plan/scaling_study.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace cddp::plan {
namespace {

constexpr uint32_t kLeastWorkers = 8;
constexpr uint32_t kMoreShards = 4;  // factor of shards in a remedy
constexpr uint32_t kLocalSteps = 16;

}  // namespace

absl::StatusOr<ScalingStudy> StudyScaling(const ClusterSetting& setting, const std::vector<CostedTensor>& model,
                                          uint64_t bucket_elements, uint32_t most_workers, const CostConstants& costs) {
  if (most_workers < kLeastWorkers) {
    return absl::InvalidArgumentError(absl::StrCat("a study needs at least ", kLeastWorkers, " workers"));
  }
  const std::vector<Bucket> buckets = MakeBuckets(model, bucket_elements);
  bucket_elements = buckets.front().elements;
  const auto run = [&](const std::string& change, const ClusterSetting& changed,
                       uint64_t elements) -> absl::StatusOr<ScalePoint> {
    absl::StatusOr<StepForecast> forecast = Simulate(changed, MakeBuckets(model, elements), costs);
    if (!forecast.ok()) return forecast.status();
    return ScalePoint{change, changed.workers, elements, *forecast};
  };

  ScalingStudy study;
  ClusterSetting grown = setting;
  for (uint32_t workers = kLeastWorkers;; workers = std::min(2 * workers, most_workers)) {
    grown.workers = workers;
    absl::StatusOr<ScalePoint> point = run("", grown, bucket_elements);
    if (!point.ok()) return point.status();
    study.growth.push_back(*std::move(point));
    const double least = ScalingStudy::kGood * study.growth.front().forecast.efficiency;
    if (study.stops_at == 0 && study.growth.back().forecast.efficiency < least) study.stops_at = workers;
    if (workers == most_workers) break;
  }

  const uint64_t smaller = std::max<uint64_t>(bucket_elements / kMoreShards, 1);
  const uint32_t more = std::min<uint32_t>(kMoreShards * study.growth.back().forecast.servers,
                                           static_cast<uint32_t>(MakeBuckets(model, smaller).size()));
  const auto with_shards = [&](ClusterSetting changed) {
    changed.servers = more;
    return changed;
  };
  const auto with_tree = [](ClusterSetting changed) {
    changed.tree = static_cast<uint32_t>(std::lround(std::sqrt(changed.workers)));
    return changed;
  };
  const auto with_local_steps = [](ClusterSetting changed) {
    changed.local_steps *= kLocalSteps;
    return changed;
  };
  const std::string shards = absl::StrCat(more, " shards on hosts of their own");
  const std::string tree = absl::StrCat("a tree, ", with_tree(grown).tree, " workers an aggregator");
  const std::string local = absl::StrCat(grown.local_steps * kLocalSteps, " local steps");
  for (const auto& [change, changed, elements] : {
           std::tuple{shards, with_shards(grown), smaller},
           std::tuple{tree, with_tree(grown), bucket_elements},
           std::tuple{local, with_local_steps(grown), bucket_elements},
           std::tuple{absl::StrCat(tree, ", ", local), with_local_steps(with_tree(grown)), bucket_elements},
           std::tuple{absl::StrCat(shards, ", ", local), with_local_steps(with_shards(grown)), smaller},
           std::tuple{absl::StrCat(shards, ", ", tree, ", ", local), with_local_steps(with_tree(with_shards(grown))),
                      smaller},
       }) {
    absl::StatusOr<ScalePoint> point = run(change, changed, elements);
    if (!point.ok()) return point.status();
    study.remedies.push_back(*std::move(point));
  }
  std::stable_sort(study.remedies.begin(), study.remedies.end(),
                   [](const ScalePoint& a, const ScalePoint& b) { return a.forecast.step_ms < b.forecast.step_ms; });
  return study;
}

}  // namespace cddp::plan
