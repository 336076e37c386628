#include "worker/data/npy.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

constexpr absl::string_view kMagic = "\x93NUMPY";

struct Header {
  std::string type;  // as NumPy writes it: "<f4"
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads Python's text of a dictionary with the three members that NumPy writes. Anything else makes
// ok() false.
class HeaderReader {
 public:
  explicit HeaderReader(absl::string_view text) : left_(text) {}

  std::optional<Header> Read() {
    Header header;
    bool has_type = false;
    bool has_order = false;
    bool has_shape = false;
    Expect("{");
    while (ok_ && !Consume("}")) {
      const std::string name = Text();
      Expect(":");
      if (name == "descr" && !has_type) {
        has_type = true;
        header.type = Type();
      } else if (name == "fortran_order" && !has_order) {
        has_order = true;
        header.fortran_order = Consume("True");
        if (!header.fortran_order) Expect("False");
      } else if (name == "shape" && !has_shape) {
        has_shape = true;
        header.shape = Shape();
      } else {
        ok_ = false;
      }
      if (!Consume(",")) {
        Expect("}");
        break;
      }
    }
    SkipBlanks();
    if (!ok_ || !left_.empty() || !has_type || !has_order || !has_shape) return std::nullopt;
    return header;
  }

 private:
  void SkipBlanks() { left_ = absl::StripLeadingAsciiWhitespace(left_); }
  bool Consume(absl::string_view token) {
    SkipBlanks();
    return absl::ConsumePrefix(&left_, token);
  }
  void Expect(absl::string_view token) { ok_ = Consume(token) && ok_; }

  std::string Text() {
    SkipBlanks();
    if (left_.empty() || (left_[0] != '\'' && left_[0] != '"')) return Fail();
    const size_t end = left_.find(left_[0], 1);
    if (end == absl::string_view::npos) return Fail();
    const std::string text(left_.substr(1, end - 1));
    left_.remove_prefix(end + 1);
    return text;
  }

  // A record's is a list; its text is kept whole, for the message.
  std::string Type() {
    SkipBlanks();
    if (!absl::StartsWith(left_, "[")) return Text();
    const size_t end = left_.find(']');
    if (end == absl::string_view::npos) return Fail();
    const std::string text(left_.substr(0, end + 1));
    left_.remove_prefix(end + 1);
    return text;
  }

  std::vector<int64_t> Shape() {
    std::vector<int64_t> shape;
    Expect("(");
    while (ok_ && !Consume(")")) {
      SkipBlanks();
      size_t digits = 0;
      while (digits < left_.size() && absl::ascii_isdigit(left_[digits])) ++digits;
      int64_t extent = 0;
      if (!absl::SimpleAtoi(left_.substr(0, digits), &extent)) ok_ = false;
      left_.remove_prefix(digits);
      shape.push_back(extent);
      if (!Consume(",")) {
        Expect(")");
        break;
      }
    }
    return shape;
  }

  std::string Fail() {
    ok_ = false;
    return "";
  }

  absl::string_view left_;
  bool ok_ = true;
};

absl::StatusOr<ElementType> TypeOf(absl::string_view name) {
  constexpr std::pair<absl::string_view, ElementType> kNames[] = {
      {"|b1", ElementType::kBool},    {"|u1", ElementType::kUint8},   {"|i1", ElementType::kInt8},
      {"<i2", ElementType::kInt16},   {"<i4", ElementType::kInt32},   {"<i8", ElementType::kInt64},
      {"<f2", ElementType::kFloat16}, {"<f4", ElementType::kFloat32}, {"<f8", ElementType::kFloat64},
  };
  for (const auto& [known, type] : kNames) {
    if (name == known) return type;
  }
  const char* what = absl::StartsWith(name, ">")    ? "are big-endian"
                     : absl::StartsWith(name, "[")  ? "are records"
                     : absl::StartsWith(name, "|O") ? "are Python objects"
                                                    : "are of a type that is not read here";
  return absl::InvalidArgumentError(absl::StrCat(
      "its elements (", name, ") ", what,
      ": save it as float32, float64, float16, uint8 or a signed integer, such as array.astype('float32')"));
}

// The text between the magic number and the elements; *data begins after it.
absl::StatusOr<absl::string_view> HeaderText(absl::string_view bytes, absl::string_view* data) {
  if (!absl::StartsWith(bytes, kMagic)) {
    return absl::InvalidArgumentError("it is not a .npy file: it does not begin with \\x93NUMPY");
  }
  constexpr absl::string_view kTruncated = "it is truncated inside its header";
  const size_t fixed = kMagic.size() + 2;
  if (bytes.size() < fixed) return absl::InvalidArgumentError(kTruncated);
  const int version = static_cast<uint8_t>(bytes[kMagic.size()]);
  if (version < 1 || version > 3) {
    return absl::InvalidArgumentError(absl::StrCat("it has version ", version, " of the .npy format; 1 to 3 are read"));
  }
  const size_t length_bytes = version == 1 ? 2 : 4;
  if (bytes.size() < fixed + length_bytes) return absl::InvalidArgumentError(kTruncated);
  const uint64_t length =
      version == 1 ? LoadLe<uint16_t>(bytes.data() + fixed) : LoadLe<uint32_t>(bytes.data() + fixed);
  bytes.remove_prefix(fixed + length_bytes);
  if (bytes.size() < length) return absl::InvalidArgumentError(kTruncated);
  *data = bytes.substr(length);
  return bytes.substr(0, length);
}

}  // namespace

absl::StatusOr<Array> ParseNpy(absl::string_view bytes) {
  absl::string_view data;
  const absl::StatusOr<absl::string_view> text = HeaderText(bytes, &data);
  if (!text.ok()) return text.status();
  std::optional<Header> header = HeaderReader(*text).Read();
  if (!header.has_value()) return absl::InvalidArgumentError("its header is damaged: it is not what NumPy writes");
  const absl::StatusOr<ElementType> type = TypeOf(header->type);
  if (!type.ok()) return type.status();
  if (header->fortran_order && header->shape.size() > 1) {
    return absl::InvalidArgumentError("it is in Fortran order: save numpy.ascontiguousarray(array)");
  }
  Array array = {*type, std::move(header->shape), ""};
  const std::optional<uint64_t> size = BytesOf(array.type, array.shape);
  if (!size.has_value() || *size != data.size()) {
    return absl::InvalidArgumentError(absl::StrCat("its header promises ", Describe(array),
                                                   size.has_value() ? absl::StrCat(", ", *size, " bytes") : "",
                                                   "; it has ", data.size(), " bytes of elements"));
  }
  array.bytes = std::string(data);
  return array;
}

}  // namespace cddp
