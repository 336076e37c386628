#include "common/codec/encoding.h"

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/codec/rice.h"

namespace cddp {
namespace {

// In the order of the enumerators.
constexpr absl::string_view kValueNames[] = {"fp32", "fp16", "bf16", "int8", "int4", "int2", "ternary"};
constexpr absl::string_view kIndexNames[] = {"dense", "gap8", "rice", "bitmap"};

template <size_t N>
absl::string_view NameAt(const absl::string_view (&names)[N], uint8_t number) {
  return number < N ? names[number] : absl::string_view("unknown");
}

template <typename Enum, size_t N>
bool Parse(absl::string_view text, const absl::string_view (&names)[N], Enum* encoding, std::string* error) {
  for (size_t i = 0; i < N; ++i) {
    if (text == names[i]) {
      *encoding = static_cast<Enum>(i);
      return true;
    }
  }
  *error = "use one of:";
  for (absl::string_view name : names) absl::StrAppend(error, " ", name);
  return false;
}

}  // namespace

IndexEncoding ChooseIndexEncoding(uint32_t length, uint32_t count, IndexPreference preference) {
  const uint64_t elements = length;
  if (preference == IndexPreference::kSize) {
    return RiceParameter(length, count) == 0 ? IndexEncoding::kBitmap : IndexEncoding::kRice;
  }
  if (uint64_t{count} * 8 >= elements) return IndexEncoding::kBitmap;
  return uint64_t{count} * 333 < elements ? IndexEncoding::kRice : IndexEncoding::kGap8;
}

IndexEncoding OrBitmap(IndexEncoding wanted, uint32_t length, uint32_t count) {
  if (wanted == IndexEncoding::kDense || count == 0) return wanted;
  const auto preference = wanted == IndexEncoding::kRice ? IndexPreference::kSize : IndexPreference::kSpeed;
  const bool bitmap = ChooseIndexEncoding(length, count, preference) == IndexEncoding::kBitmap;
  return bitmap ? IndexEncoding::kBitmap : wanted;
}

absl::string_view Name(ValueEncoding encoding) { return NameAt(kValueNames, static_cast<uint8_t>(encoding)); }
absl::string_view Name(IndexEncoding encoding) { return NameAt(kIndexNames, static_cast<uint8_t>(encoding)); }

bool AbslParseFlag(absl::string_view text, ValueEncoding* encoding, std::string* error) {
  return Parse(text, kValueNames, encoding, error);
}
std::string AbslUnparseFlag(ValueEncoding encoding) { return std::string(Name(encoding)); }

bool AbslParseFlag(absl::string_view text, IndexEncoding* encoding, std::string* error) {
  return Parse(text, kIndexNames, encoding, error);
}
std::string AbslUnparseFlag(IndexEncoding encoding) { return std::string(Name(encoding)); }

}  // namespace cddp
