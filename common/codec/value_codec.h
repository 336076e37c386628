// The value part of an update, in any ValueEncoding.

#ifndef COMMON_CODEC_VALUE_CODEC_H_
#define COMMON_CODEC_VALUE_CODEC_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/codec/encoding.h"

namespace cddp {

// Bits per code of the block-scaled encodings; 0 for the others.
int CodeBits(ValueEncoding encoding);

// Size of the part for `count` values.
size_t EncodedValueBytes(ValueEncoding encoding, size_t count);

// Writes EncodedValueBytes(encoding, values.size()) bytes and replaces `values` (finite) by their decoded values.
void EncodeValues(ValueEncoding encoding, absl::Span<float> values, uint8_t* part);

// Checks a part of EncodedValueBytes(encoding, count) bytes: every value it decodes to is finite, trailing bits zero.
absl::Status ValidateValues(ValueEncoding encoding, const uint8_t* part, size_t count);

// Decodes values [first, first + to.size()) of a valid part of `count`; `first` is a multiple of 256.
void DecodeValues(ValueEncoding encoding, const uint8_t* part, size_t count, size_t first, absl::Span<float> to);

}  // namespace cddp

#endif  // COMMON_CODEC_VALUE_CODEC_H_
