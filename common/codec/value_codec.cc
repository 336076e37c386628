#include "common/codec/value_codec.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/codec/block_scaled.h"
#include "common/codec/half.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

// Largest of the values' bits under `mask`, an exponent's. In this form, with signed bits, the compiler vectorises it
// for every processor.
template <typename Bits>
Bits LargestMasked(const uint8_t* part, size_t count, Bits mask) {
  Bits largest = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto masked = static_cast<Bits>(LoadLe<Bits>(part + sizeof(Bits) * i) & mask);
    largest = largest < masked ? masked : largest;
  }
  return largest;
}

}  // namespace

int CodeBits(ValueEncoding encoding) {
  switch (encoding) {
    case ValueEncoding::kInt8:
      return 8;
    case ValueEncoding::kInt4:
      return 4;
    case ValueEncoding::kInt2:
      return 2;
    case ValueEncoding::kTernary:
      return 1;
    default:
      return 0;
  }
}

size_t EncodedValueBytes(ValueEncoding encoding, size_t count) {
  if (encoding == ValueEncoding::kFp32) return count * 4;
  if (encoding == ValueEncoding::kFp16 || encoding == ValueEncoding::kBf16) return count * 2;
  return BlockScaledBytes(CodeBits(encoding), count);
}

void EncodeValues(ValueEncoding encoding, absl::Span<float> values, uint8_t* part) {
  switch (encoding) {
    case ValueEncoding::kFp32:
      if (!values.empty()) std::memcpy(part, values.data(), values.size() * sizeof(float));
      return;
    case ValueEncoding::kFp16:
      return EncodeHalf(values.data(), values.size(), part);
    case ValueEncoding::kBf16:
      return EncodeBf16(values.data(), values.size(), part);
    default:
      return EncodeBlockScaled(CodeBits(encoding), values, part);
  }
}

absl::Status ValidateValues(ValueEncoding encoding, const uint8_t* part, size_t count) {
  bool finite = true;
  switch (encoding) {
    case ValueEncoding::kFp32:
      finite = LargestMasked<int32_t>(part, count, 0x7f800000) != 0x7f800000;
      break;
    case ValueEncoding::kFp16:
      finite = LargestMasked<int16_t>(part, count, 0x7c00) != 0x7c00;
      break;
    case ValueEncoding::kBf16:
      finite = LargestMasked<int16_t>(part, count, 0x7f80) != 0x7f80;
      break;
    default:
      return ValidateBlockScaled(CodeBits(encoding), part, count);
  }
  if (!finite) return absl::InvalidArgumentError("update holds NaN or infinity");
  return absl::OkStatus();
}

void DecodeValues(ValueEncoding encoding, const uint8_t* part, size_t count, size_t first, absl::Span<float> to) {
  switch (encoding) {
    case ValueEncoding::kFp32:
      if (!to.empty()) std::memcpy(to.data(), part + 4 * first, to.size() * sizeof(float));
      return;
    case ValueEncoding::kFp16:
      return DecodeHalf(part + 2 * first, to.size(), to.data());
    case ValueEncoding::kBf16:
      return DecodeBf16(part + 2 * first, to.size(), to.data());
    default:
      return DecodeBlockScaled(CodeBits(encoding), part, count, first, to);
  }
}

}  // namespace cddp
