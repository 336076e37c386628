// The resource that limits a step.

#ifndef DEPLOY_PLAN_LIMIT_H_
#define DEPLOY_PLAN_LIMIT_H_

#include "absl/strings/string_view.h"

namespace cddp::plan {

enum class Limit { kCompute, kWorkerLink, kServerLink, kAggregatorLink, kProcessor };

absl::string_view Describe(Limit limit);

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_LIMIT_H_
