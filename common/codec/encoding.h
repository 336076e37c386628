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
  kInt8 = 3,     // sign and 7-bit level in the band of magnitudes of a block of 256 values (block_scaled.h)
  kInt4 = 4,     // as int8, with a 3-bit level
  kInt2 = 5,     // sign, and one of the block's two mean magnitudes
  kTernary = 6,  // one bit, the sign, times the block's mean magnitude
};

// The default in both directions: the most accurate one when all were compared (docs/encodings.md).
inline constexpr ValueEncoding kDefaultValueEncoding = ValueEncoding::kInt4;

enum class IndexEncoding : uint8_t {
  kDense = 0,   // no indices: every element of the bucket has a value
  kGap8 = 1,    // gaps as bytes, 255 escapes: fast
  kRice = 2,    // gaps in Golomb-Rice code: small
  kBitmap = 3,  // one bit per element: best near a density of a half
};

// The goal by which an index encoding is chosen.
enum class IndexPreference : uint8_t { kSpeed, kSize };

// The encoding for `count` > 0 indices, spread evenly, of a bucket of `length` elements. By size: Golomb-Rice, from a
// density of 0.39 on a bitmap, which is then as small. For speed: bytes, a bitmap where that is smaller (1 in 8), and
// Golomb-Rice where escapes would make bytes half as large again (1 in 333).
IndexEncoding ChooseIndexEncoding(uint32_t length, uint32_t count, IndexPreference preference);

// A bitmap if it takes no more bytes than `wanted` for `count` indices, else `wanted`.
IndexEncoding OrBitmap(IndexEncoding wanted, uint32_t length, uint32_t count);

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
