#include "common/optimizer/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"

namespace cddp {

absl::Status Validate(const LearningRateOptions& options) {
  if (!(options.base > 0) || !std::isfinite(options.base)) {
    return absl::InvalidArgumentError(absl::StrCat("--lr=", options.base, ": the learning rate must be above 0"));
  }
  if (options.schedule == LearningRateSchedule::kConstant) return absl::OkStatus();
  if (options.decay_steps == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--lr_schedule=", AbslUnparseFlag(options.schedule), " needs --lr_decay_steps"));
  }
  if (!(options.decay_factor >= 0 && options.decay_factor <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--lr_decay_factor=", options.decay_factor, " is outside [0, 1]"));
  }
  return absl::OkStatus();
}

double LearningRate(const LearningRateOptions& options, uint64_t step) {
  step += options.steps_before;
  if (step < options.warmup_steps) {
    return options.base * static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  }
  step -= options.warmup_steps;
  switch (options.schedule) {
    case LearningRateSchedule::kConstant:
      break;
    case LearningRateSchedule::kStep: {
      const uint64_t decays = step / options.decay_steps;
      return options.base * std::pow(options.decay_factor, static_cast<double>(decays));
    }
    case LearningRateSchedule::kCosine: {
      const double part = std::min(1.0, static_cast<double>(step) / static_cast<double>(options.decay_steps));
      const double low = options.base * options.decay_factor;
      return low + (options.base - low) * (1 + std::cos(std::numbers::pi * part)) / 2;
    }
  }
  return options.base;
}

bool AbslParseFlag(absl::string_view text, LearningRateSchedule* schedule, std::string* error) {
  for (LearningRateSchedule candidate :
       {LearningRateSchedule::kConstant, LearningRateSchedule::kStep, LearningRateSchedule::kCosine}) {
    if (text == AbslUnparseFlag(candidate)) {
      *schedule = candidate;
      return true;
    }
  }
  *error = "use constant, step or cosine";
  return false;
}

std::string AbslUnparseFlag(LearningRateSchedule schedule) {
  switch (schedule) {
    case LearningRateSchedule::kConstant:
      return "constant";
    case LearningRateSchedule::kStep:
      return "step";
    case LearningRateSchedule::kCosine:
      return "cosine";
  }
  return "";
}

}  // namespace cddp
