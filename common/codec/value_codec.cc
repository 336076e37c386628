#include "common/codec/value_codec.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/codec/block_scaled.h"
#include "common/codec/half.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

// Bits a code, for the block-scaled encodings; 0 for the others.
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

}  // namespace

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
      for (size_t i = 0; i < count; ++i) finite &= (LoadLe<uint32_t>(part + 4 * i) & 0x7f800000u) != 0x7f800000u;
      break;
    case ValueEncoding::kFp16:
      for (size_t i = 0; i < count; ++i) finite &= (LoadLe<uint16_t>(part + 2 * i) & 0x7c00u) != 0x7c00u;
      break;
    case ValueEncoding::kBf16:
      for (size_t i = 0; i < count; ++i) finite &= (LoadLe<uint16_t>(part + 2 * i) & 0x7f80u) != 0x7f80u;
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
