// Any bytes as a model's layout, also with a fingerprint that is right: refused, or the same again.

#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/layout/parameter_layout.h"
#include "common/transport/layout_message.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);  // it tells of every name that is no UTF-8
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cddp::v1::Layout message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  absl::StatusOr<cddp::ParameterLayout> layout = cddp::FromMessage(message);
  if (!layout.ok()) {
    // Its fingerprint hardly ever is.
    std::vector<cddp::TensorSpec> tensors;
    for (const cddp::v1::Tensor& tensor : message.tensors()) {
      if (!cddp::v1::TensorKind_IsValid(tensor.kind())) return 0;
      tensors.push_back({tensor.name(),
                         {tensor.shape().begin(), tensor.shape().end()},
                         static_cast<cddp::TensorKind>(tensor.kind())});
    }
    layout = cddp::ParameterLayout::Create(std::move(tensors), message.bucket_elements());
    if (!layout.ok()) return 0;
  }
  const absl::StatusOr<cddp::ParameterLayout> again = cddp::FromMessage(cddp::ToMessage(*layout));
  Check(again.ok());
  Check(again->DescribeDifference(*layout).empty());
  Check(layout->bucket_range(layout->bucket_count() - 1).end == layout->total_elements());
  return 0;
}
