// Parsers for a cluster's description on the command line.

#ifndef DEPLOY_PLAN_PLAN_INPUT_H_
#define DEPLOY_PLAN_PLAN_INPUT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "deploy/plan/cost_constants.h"

namespace cddp::plan {

// Bits per second of "100mbit", "2.5gbit", "512kbit". InvalidArgument for anything else.
absl::StatusOr<double> ParseRate(absl::string_view text);

// "compress_ns=1.5,goodput=0.9": the constants, with the named ones replaced. InvalidArgument for unknown names and
// for values that are not positive numbers.
absl::StatusOr<CostConstants> ParseCosts(absl::string_view text);

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_PLAN_INPUT_H_
