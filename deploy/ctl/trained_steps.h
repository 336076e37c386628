// How many training steps published weights come from.

#ifndef DEPLOY_CTL_TRAINED_STEPS_H_
#define DEPLOY_CTL_TRAINED_STEPS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"

namespace cddp::ctl {

// Steps of one worker whose exchanges led to `version` of weights [layout.total_elements()]. `agreement`: what the
// workers have alike (StatusResponse.agreement). Between two exchanges there are --local_steps steps, fewer at the end
// of an epoch; with --local_steps=auto the weights tell (common/layout/agreed_tensor.h).
uint64_t TrainedSteps(absl::string_view agreement, const ParameterLayout& layout, absl::Span<const float> weights,
                      uint64_t version);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_TRAINED_STEPS_H_
