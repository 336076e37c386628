#include "common/transport/slices.h"

#include <memory>
#include <utility>

namespace cddp {

grpc::Slice ToSlice(SharedBytes bytes) {
  if (bytes.empty()) return grpc::Slice();
  auto* reference = new SharedBytes(std::move(bytes));
  return grpc::Slice(
      const_cast<char*>(reference->data()), reference->size(),
      [](void* reference) { delete static_cast<SharedBytes*>(reference); }, reference);
}

SharedBytes FromSlice(const grpc::Slice& slice) {
  auto owner = std::make_shared<const grpc::Slice>(slice);
  const absl::string_view view(reinterpret_cast<const char*>(owner->begin()), owner->size());
  return SharedBytes(std::move(owner), view);
}

}  // namespace cddp
