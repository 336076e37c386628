#include "deploy/plan/limit.h"

namespace cddp::plan {

absl::string_view Describe(Limit limit) {
  switch (limit) {
    case Limit::kCompute:
      return "the passes themselves";
    case Limit::kWorkerLink:
      return "links of workers";
    case Limit::kServerLink:
      return "links of servers";
    case Limit::kAggregatorLink:
      return "links of aggregators";
    case Limit::kProcessor:
      return "processors";
  }
  return "?";
}

}  // namespace cddp::plan
