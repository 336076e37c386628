// ParameterLayout as a message.

#ifndef COMMON_TRANSPORT_LAYOUT_MESSAGE_H_
#define COMMON_TRANSPORT_LAYOUT_MESSAGE_H_

#include "absl/status/statusor.h"
#include "cddp/v1/parameter_server.pb.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

v1::Layout ToMessage(const ParameterLayout& layout);

// InvalidArgument for what ParameterLayout::Create refuses, a missing bucket length, or a fingerprint that does not
// match the tensors.
absl::StatusOr<ParameterLayout> FromMessage(const v1::Layout& message);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_LAYOUT_MESSAGE_H_
