// Learning-rate schedules: a pure function of the number of steps done, so that a replay gives the same rates.

#ifndef COMMON_OPTIMIZER_LEARNING_RATE_H_
#define COMMON_OPTIMIZER_LEARNING_RATE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp {

enum class LearningRateSchedule { kConstant, kStep, kCosine };

struct LearningRateOptions {
  double base = 0.05;
  LearningRateSchedule schedule = LearningRateSchedule::kConstant;
  uint64_t warmup_steps = 0;  // linear from base / warmup_steps up to base, before the schedule begins
  uint64_t decay_steps = 0;   // step: the number of steps after which the rate is multiplied by decay_factor;
                              // cosine: length of the half wave from base to decay_factor * base, constant after it
  double decay_factor = 0.1;
  uint64_t steps_before = 0;  // made by others before this optimizer began: the schedule continues from there
};

// InvalidArgument naming the flag whose value makes no sense.
absl::Status Validate(const LearningRateOptions& options);

// The rate of the step number `step`, counted from 0.
double LearningRate(const LearningRateOptions& options, uint64_t step);

// For ABSL_FLAG: "constant", "step", "cosine".
bool AbslParseFlag(absl::string_view text, LearningRateSchedule* schedule, std::string* error);
std::string AbslUnparseFlag(LearningRateSchedule schedule);

}  // namespace cddp

#endif  // COMMON_OPTIMIZER_LEARNING_RATE_H_
