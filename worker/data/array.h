// An array of numbers, as in files of NumPy and safetensors.

#ifndef WORKER_DATA_ARRAY_H_
#define WORKER_DATA_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cddp {

enum class ElementType { kBool, kUint8, kInt8, kInt16, kInt32, kInt64, kFloat16, kBfloat16, kFloat32, kFloat64 };

size_t SizeOf(ElementType type);
absl::string_view Name(ElementType type);  // "float32"
bool IsInteger(ElementType type);          // bool is not

struct Array {
  ElementType type = ElementType::kFloat32;
  std::vector<int64_t> shape;
  std::string bytes;  // in C order, little-endian; their number follows from type and shape

  // The extent of the first axis; 0 for a scalar.
  uint64_t count() const { return shape.empty() ? 0 : static_cast<uint64_t>(shape[0]); }
  // Bytes per item of the first axis; count() must not be 0.
  size_t item_bytes() const { return bytes.size() / count(); }
};

// "float32 [60000, 28, 28]".
std::string Describe(const Array& array);

// The product of the shape times the element's size; nullopt if an extent is negative or the product needs more than 62
// bits.
std::optional<uint64_t> BytesOf(ElementType type, absl::Span<const int64_t> shape);

}  // namespace cddp

#endif  // WORKER_DATA_ARRAY_H_
