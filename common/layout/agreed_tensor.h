// The tensor of --local_steps=auto: elements that workers average among themselves like a model's buffers, and that are
// no part of the model.

#ifndef COMMON_LAYOUT_AGREED_TENSOR_H_
#define COMMON_LAYOUT_AGREED_TENSOR_H_

#include "absl/strings/string_view.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

// Behind all other buffers, so that its elements are the last (worker/trainer/agreed_steps.h).
inline constexpr absl::string_view kAgreedTensor = "cddp.local_steps";

// Exports leave it out.
inline bool IsOfModel(const TensorSpec& tensor) { return tensor.name != kAgreedTensor; }

}  // namespace cddp

#endif  // COMMON_LAYOUT_AGREED_TENSOR_H_
