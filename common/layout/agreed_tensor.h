// The tensor of --local_steps=auto: elements that are averaged among workers like a model's buffers, but are not part
// of the model.

#ifndef COMMON_LAYOUT_AGREED_TENSOR_H_
#define COMMON_LAYOUT_AGREED_TENSOR_H_

#include "absl/strings/string_view.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

// It follows all other buffers, so that its elements are the last (worker/rounds/agreed_steps.h).
inline constexpr absl::string_view kAgreedTensor = "cddp.local_steps";

// Exports leave the agreed tensor out.
inline bool IsOfModel(const TensorSpec& tensor) { return tensor.name != kAgreedTensor; }

}  // namespace cddp

#endif  // COMMON_LAYOUT_AGREED_TENSOR_H_
