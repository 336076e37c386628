// The device's 16-bit formats against the CPU's codec: codes and decoded values, bit for bit.

#include "worker/cuda/value_coding.h"

#include <cstdint>
#include <vector>

#include "common/codec/half.h"
#include "common/codec/little_endian.h"
#include "gtest/gtest.h"

namespace cddp {
namespace {

// Every finite float whose lowest bits are one of a few patterns: all exponents, all roundings and all ties.
std::vector<float> ManyFloats() {
  std::vector<float> floats;
  for (uint32_t high = 0; high < 1u << 20; ++high) {
    for (uint32_t low : {0x000u, 0x001u, 0x7ffu, 0x800u, 0x801u, 0xfffu}) {
      const uint32_t bits = high << 12 | low;
      if ((bits & device::kMagnitudeBits) < device::kInfinityBits) floats.push_back(device::FloatOf(bits));
    }
  }
  return floats;
}

TEST(ValueCodingTest, SixteenBitFormatsAreTheCodecs) {
  const std::vector<float> floats = ManyFloats();
  for (bool half : {true, false}) {
    std::vector<float> decoded = floats;
    std::vector<uint8_t> codes(2 * floats.size());
    (half ? EncodeHalf : EncodeBf16)(decoded.data(), decoded.size(), codes.data());
    for (size_t i = 0; i < floats.size(); ++i) {
      const uint32_t code = half ? device::EncodeHalf(floats[i]) : device::EncodeBf16(floats[i]);
      ASSERT_EQ(code, LoadLe<uint16_t>(&codes[2 * i])) << floats[i];
      const float back = half ? device::DecodeHalf(code) : device::DecodeBf16(code);
      ASSERT_EQ(device::BitsOf(back), device::BitsOf(decoded[i])) << floats[i];
    }
  }
}

}  // namespace
}  // namespace cddp
