#include "common/transport/layout_message.h"

#include "absl/strings/str_cat.h"

namespace cddp {

v1::Layout ToMessage(const ParameterLayout& layout) {
  v1::Layout message;
  for (const TensorSpec& tensor : layout.tensors()) {
    v1::Tensor* added = message.add_tensors();
    added->set_name(tensor.name);
    added->mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
    added->set_kind(static_cast<v1::TensorKind>(tensor.kind));
  }
  message.set_bucket_elements(layout.bucket_elements());
  message.set_fingerprint(layout.fingerprint());
  return message;
}

absl::StatusOr<ParameterLayout> FromMessage(const v1::Layout& message) {
  if (message.bucket_elements() == 0) return absl::InvalidArgumentError("layout: bucket_elements is missing");
  std::vector<TensorSpec> tensors;
  tensors.reserve(message.tensors_size());
  for (const v1::Tensor& tensor : message.tensors()) {
    if (!v1::TensorKind_IsValid(tensor.kind())) {
      return absl::InvalidArgumentError(
          absl::StrCat("layout: tensor ", tensor.name(), " is of the unknown kind ", int{tensor.kind()}));
    }
    tensors.push_back(
        {tensor.name(), {tensor.shape().begin(), tensor.shape().end()}, static_cast<TensorKind>(tensor.kind())});
  }
  absl::StatusOr<ParameterLayout> layout = ParameterLayout::Create(std::move(tensors), message.bucket_elements());
  if (layout.ok() && layout->fingerprint() != message.fingerprint()) {
    return absl::InvalidArgumentError("layout: the fingerprint does not fit the tensors");
  }
  return layout;
}

}  // namespace cddp
