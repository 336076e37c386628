#include "deploy/ctl/trained_steps.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "common/agreement/agreement.h"
#include "common/config/steps_choice.h"
#include "common/layout/agreed_tensor.h"

namespace cddp::ctl {
namespace {

// 0 if there is none.
uint64_t NumberOf(absl::string_view agreement, absl::string_view name) {
  uint64_t number = 0;
  return absl::SimpleAtoi(ValueOf(agreement, name).value_or(""), &number) ? number : 0;
}

}  // namespace

uint64_t TrainedSteps(absl::string_view agreement, const ParameterLayout& layout, absl::Span<const float> weights,
                      uint64_t version) {
  for (size_t i = 0; i < layout.tensors().size(); ++i) {
    if (layout.tensors()[i].name != kAgreedTensor) continue;
    return AgreedPosition(weights[layout.tensor_range(i).begin]);
  }
  const uint64_t exchanges = version == 0 ? 0 : version - 1;  // version 1: the initial weights
  const uint64_t local_steps = std::max<uint64_t>(NumberOf(agreement, "--local_steps"), 1);
  // A program with the library has no epochs.
  const uint64_t batches = NumberOf(agreement, "--batch_size") * NumberOf(agreement, "--workers");
  const uint64_t epoch = batches == 0 ? 0 : NumberOf(agreement, "--train_examples") / batches;
  if (epoch == 0) return exchanges * local_steps;
  return StepsOfExchanges(exchanges, local_steps, epoch);
}

}  // namespace cddp::ctl
