#include "worker/data/array.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace cddp {
namespace {

struct TypeFacts {
  ElementType type;
  absl::string_view name;
  size_t size;
  bool is_integer;
};

constexpr TypeFacts kTypes[] = {
    {ElementType::kBool, "bool", 1, false},       {ElementType::kUint8, "uint8", 1, true},
    {ElementType::kInt8, "int8", 1, true},        {ElementType::kInt16, "int16", 2, true},
    {ElementType::kInt32, "int32", 4, true},      {ElementType::kInt64, "int64", 8, true},
    {ElementType::kFloat16, "float16", 2, false}, {ElementType::kBfloat16, "bfloat16", 2, false},
    {ElementType::kFloat32, "float32", 4, false}, {ElementType::kFloat64, "float64", 8, false},
};

const TypeFacts& Facts(ElementType type) { return kTypes[static_cast<int>(type)]; }

}  // namespace

size_t SizeOf(ElementType type) { return Facts(type).size; }
absl::string_view Name(ElementType type) { return Facts(type).name; }
bool IsInteger(ElementType type) { return Facts(type).is_integer; }

std::string Describe(const Array& array) {
  return absl::StrCat(Name(array.type), " [", absl::StrJoin(array.shape, ", "), "]");
}

std::optional<uint64_t> BytesOf(ElementType type, absl::Span<const int64_t> shape) {
  constexpr uint64_t kMost = uint64_t{1} << 62;
  uint64_t bytes = SizeOf(type);
  bool is_empty = false;
  for (const int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      is_empty = true;
    } else if (bytes > kMost / static_cast<uint64_t>(extent)) {
      return std::nullopt;
    } else {
      bytes *= static_cast<uint64_t>(extent);
    }
  }
  return is_empty ? 0 : bytes;
}

}  // namespace cddp
