// Names of the encodings an update may use. The numbers are part of the wire and file format.

#ifndef COMMON_CODEC_ENCODING_H_
#define COMMON_CODEC_ENCODING_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

enum class ValueEncoding : uint8_t {
  kFp32 = 0,
  kFp16 = 1,     // IEEE binary16, round to nearest even, saturating at +-65504
  kBf16 = 2,     // bfloat16, round to nearest even
  kInt8 = 3,     // one scale a block of 256 values, symmetric
  kInt4 = 4,     // likewise, two values a byte
  kInt2 = 5,     // likewise, four values a byte
  kTernary = 6,  // one bit, the sign, times the block's mean magnitude
};

enum class IndexEncoding : uint8_t {
  kDense = 0,   // no indices: every element of the bucket has a value
  kGap8 = 1,    // gaps as bytes, 255 escapes: fast
  kRice = 2,    // gaps in Golomb-Rice code: small
  kBitmap = 3,  // one bit an element: best near a half
};

// Short lower-case names for flags and reports: "fp16", "gap8".
absl::string_view Name(ValueEncoding encoding);
absl::string_view Name(IndexEncoding encoding);

// For ABSL_FLAG.
bool AbslParseFlag(absl::string_view text, ValueEncoding* encoding, std::string* error);
std::string AbslUnparseFlag(ValueEncoding encoding);
bool AbslParseFlag(absl::string_view text, IndexEncoding* encoding, std::string* error);
std::string AbslUnparseFlag(IndexEncoding encoding);

}  // namespace cddp

#endif  // COMMON_CODEC_ENCODING_H_
