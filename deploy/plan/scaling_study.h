// Finds the cluster size at which a design stops scaling, and the changes that then help.

#ifndef DEPLOY_PLAN_SCALING_STUDY_H_
#define DEPLOY_PLAN_SCALING_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/plan/step_simulation.h"

namespace cddp::plan {

struct ScalePoint {
  std::string change;  // difference from the setting under study; empty: only the number of workers
  uint32_t workers = 0;
  uint64_t bucket_elements = 0;
  StepForecast forecast;
};

struct ScalingStudy {
  static constexpr double kGood = 0.8;  // part of the smallest cluster's efficiency that counts as scaling
  std::vector<ScalePoint> growth;       // of the unchanged setting: 8, 16, ... up to the most workers
  uint32_t stops_at = 0;                // smallest number of workers that no longer scales; 0: all do
  std::vector<ScalePoint> remedies;     // with the most workers, best first
};

// `most_workers` at least 8. Errors of Simulate.
absl::StatusOr<ScalingStudy> StudyScaling(const ClusterSetting& setting, const std::vector<CostedTensor>& model,
                                          uint64_t bucket_elements, uint32_t most_workers, const CostConstants& costs);

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_SCALING_STUDY_H_
