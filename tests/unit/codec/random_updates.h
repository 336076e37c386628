// Random indices and values for the codec's tests.

#ifndef TESTS_UNIT_CODEC_RANDOM_UPDATES_H_
#define TESTS_UNIT_CODEC_RANDOM_UPDATES_H_

#include <bit>
#include <cstdint>
#include <random>
#include <vector>

#include "common/codec/encoding.h"

namespace cddp {

inline constexpr ValueEncoding kAllValueEncodings[] = {
    ValueEncoding::kFp32, ValueEncoding::kFp16, ValueEncoding::kBf16,   ValueEncoding::kInt8,
    ValueEncoding::kInt4, ValueEncoding::kInt2, ValueEncoding::kTernary};
inline constexpr IndexEncoding kSparseIndexEncodings[] = {IndexEncoding::kGap8, IndexEncoding::kRice,
                                                          IndexEncoding::kBitmap};

// Each of `length` indices with probability `density`; runs and long gaps where `clustered`.
inline std::vector<uint32_t> RandomIndices(uint32_t length, double density, bool clustered, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> indices;
  double local = density;
  for (uint32_t i = 0; i < length; ++i) {
    if (clustered && random() % 500 == 0) local = random() % 2 == 0 ? 0 : density * 2;
    if (std::generate_canonical<double, 32>(random) < local) indices.push_back(i);
  }
  return indices;
}

// Gaussian values; where `wild`, finite floats of any bits.
inline std::vector<float> RandomValues(size_t count, bool wild, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) {
    value = normal(random);
    if (!wild) continue;
    do {
      value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    } while ((std::bit_cast<uint32_t>(value) & 0x7f800000u) == 0x7f800000u);
  }
  return values;
}

}  // namespace cddp

#endif  // TESTS_UNIT_CODEC_RANDOM_UPDATES_H_
