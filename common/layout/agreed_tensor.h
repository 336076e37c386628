// The tensor of --local_steps=auto: elements that are averaged among workers like a model's buffers, but are not part
// of the model.

#ifndef COMMON_LAYOUT_AGREED_TENSOR_H_
#define COMMON_LAYOUT_AGREED_TENSOR_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

// It follows all other buffers, so that its elements are the last (worker/rounds/agreed_steps.h).
inline constexpr absl::string_view kAgreedTensor = "cddp.local_steps";

// Positions up to here are exact in a float's 24 bits.
inline constexpr uint64_t kMostAgreedPosition = uint64_t{1} << 24;

// Its first element: how many steps the training has made. Any element gives a position.
inline uint64_t AgreedPosition(float element) {
  const double position = std::floor(static_cast<double>(element) + 0.5);
  if (!(position > 0)) return 0;  // nor is a NaN
  return static_cast<uint64_t>(std::min(position, static_cast<double>(kMostAgreedPosition)));
}

// Exports leave the agreed tensor out.
inline bool IsOfModel(const TensorSpec& tensor) { return tensor.name != kAgreedTensor; }

}  // namespace cddp

#endif  // COMMON_LAYOUT_AGREED_TENSOR_H_
