// --loss: the loss that a model from a file is trained to minimise.

#ifndef COMMON_CONFIG_LOSS_CHOICE_H_
#define COMMON_CONFIG_LOSS_CHOICE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

enum class LossChoice {
  kAuto,          // the module's own if it has one, else cross entropy
  kCrossEntropy,  // of logits [batch, classes, ...] and classes [batch, ...]
  kMse,           // the mean square of the difference
  kBce,           // binary cross entropy of logits and targets in [0, 1], of one shape
  kModule,        // the module's own method loss(outputs, targets)
};

inline constexpr absl::string_view kLossNames[] = {"auto", "cross_entropy", "mse", "bce", "module"};

inline bool AbslParseFlag(absl::string_view text, LossChoice* loss, std::string* error) {
  for (int i = 0; i < 5; ++i) {
    if (text != kLossNames[i]) continue;
    *loss = static_cast<LossChoice>(i);
    return true;
  }
  *error = "use auto, cross_entropy, mse, bce or module";
  return false;
}

inline std::string AbslUnparseFlag(LossChoice loss) { return std::string(kLossNames[static_cast<int>(loss)]); }

}  // namespace cddp

#endif  // COMMON_CONFIG_LOSS_CHOICE_H_
