#include "worker/rounds/agreed_steps.h"

#include <algorithm>
#include <cmath>

#include "common/check/check.h"
#include "common/layout/agreed_tensor.h"
#include "worker/rounds/steps_control.h"

namespace cddp {
namespace {

uint32_t FromLog(double log) {
  const double least = std::log2(kFewestLocalSteps), most = std::log2(kMostLocalSteps);
  if (!(log >= least)) return kFewestLocalSteps;  // nor is a NaN
  return uint32_t{1} << static_cast<uint32_t>(std::floor(std::min(log, most) + 0.5));
}

}  // namespace

uint32_t AgreedSteps::wished_steps() const { return FromLog(wish); }

AgreedSteps FirstSteps(uint32_t steps) { return {0, steps, std::log2(steps)}; }

AgreedSteps ReadSteps(absl::Span<const float> elements) {
  CDDP_CHECK(elements.size() == kAgreedElements) << elements.size() << " elements";
  AgreedSteps agreed;
  agreed.position = AgreedPosition(elements[0]);
  agreed.steps = FromLog(elements[1]);
  agreed.wish = elements[2];
  return agreed;
}

std::vector<float> WriteSteps(const AgreedSteps& agreed) {
  return {static_cast<float>(agreed.position), static_cast<float>(std::log2(agreed.steps)),
          static_cast<float>(agreed.wish)};
}

uint64_t StepsOfRound(const AgreedSteps& now, uint64_t steps_per_epoch) {
  return std::min<uint64_t>(now.steps, steps_per_epoch - now.position % steps_per_epoch);
}

AgreedSteps StepsAfter(const AgreedSteps& now, uint64_t made, uint32_t steps, uint32_t wish) {
  return {now.position + made, steps, std::log2(wish)};
}

}  // namespace cddp
