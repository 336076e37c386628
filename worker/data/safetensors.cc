#include "worker/data/safetensors.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

std::optional<ElementType> TypeOf(const std::string& name) {
  constexpr std::pair<const char*, ElementType> kNames[] = {
      {"BOOL", ElementType::kBool},   {"U8", ElementType::kUint8},      {"I8", ElementType::kInt8},
      {"I16", ElementType::kInt16},   {"I32", ElementType::kInt32},     {"I64", ElementType::kInt64},
      {"F16", ElementType::kFloat16}, {"BF16", ElementType::kBfloat16}, {"F32", ElementType::kFloat32},
      {"F64", ElementType::kFloat64},
  };
  for (const auto& [known, type] : kNames) {
    if (name == known) return type;
  }
  return std::nullopt;
}

// The member of an array, whose members are numbers of 63 bits.
std::optional<std::vector<int64_t>> Numbers(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_array()) return std::nullopt;
  std::vector<int64_t> numbers;
  for (const Json& number : *member) {
    if (!number.is_number_unsigned() || number.get<uint64_t>() > uint64_t{INT64_MAX}) return std::nullopt;
    numbers.push_back(number.get<int64_t>());
  }
  return numbers;
}

absl::StatusOr<Array> ReadArray(const std::string& name, const Json& entry, absl::string_view data) {
  const auto wrong = [&name](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", what));
  };
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string()) {
    return wrong("its entry in the header is damaged");
  }
  const std::optional<std::vector<int64_t>> shape = Numbers(entry, "shape");
  const std::optional<std::vector<int64_t>> range = Numbers(entry, "data_offsets");
  if (!shape.has_value() || !range.has_value() || range->size() != 2)
    return wrong("its entry in the header is damaged");
  const std::string type_name = entry["dtype"].get<std::string>();
  const std::optional<ElementType> type = TypeOf(type_name);
  if (!type.has_value()) {
    return wrong(absl::StrCat("elements of type ", type_name, " are not read here: save float32, uint8 or int64"));
  }
  Array array = {*type, *shape, ""};
  const auto begin = static_cast<uint64_t>((*range)[0]);
  const auto end = static_cast<uint64_t>((*range)[1]);
  const std::optional<uint64_t> size = BytesOf(array.type, array.shape);
  if (begin > end || end > data.size())
    return wrong("its elements lie behind the file's end: it is truncated, or damaged");
  if (!size.has_value() || *size != end - begin) {
    return wrong(absl::StrCat("the header promises ", Describe(array), " in ", end - begin, " bytes"));
  }
  array.bytes = std::string(data.substr(begin, end - begin));
  return array;
}

}  // namespace

absl::StatusOr<std::map<std::string, Array>> ParseSafetensors(absl::string_view bytes) {
  constexpr uint64_t kLength = sizeof(uint64_t);
  const uint64_t length = bytes.size() < kLength ? 0 : LoadLe<uint64_t>(bytes.data());
  if (bytes.size() < kLength || length > bytes.size() - kLength) {
    return absl::InvalidArgumentError("it is no safetensors file, or truncated inside its header");
  }
  const absl::string_view text = bytes.substr(kLength, length);
  const Json header = Json::parse(text.begin(), text.end(), /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return absl::InvalidArgumentError("it is no safetensors file: its header is not JSON");
  std::map<std::string, Array> arrays;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    absl::StatusOr<Array> array = ReadArray(name, entry, bytes.substr(kLength + length));
    if (!array.ok()) return array.status();
    arrays.emplace(name, *std::move(array));
  }
  return arrays;
}

}  // namespace cddp
