// Any indices and finite values, in any encoding, decode to what the encoder said.
// Input: index encoding, value encoding, then for each element its gap (u16) and the bits of its value (u32).

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/codec/little_endian.h"
#include "common/codec/update_codec.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto index_encoding = static_cast<cddp::IndexEncoding>(1 + data[0] % 3);
  const auto value_encoding = static_cast<cddp::ValueEncoding>(data[1] % 7);
  std::vector<uint32_t> indices;
  std::vector<float> values;
  uint32_t length = 1;
  for (size_t at = 2; at + 6 <= size; at += 6) {
    uint32_t bits = cddp::LoadLe<uint32_t>(data + at + 2);
    if ((bits & 0x7f800000u) == 0x7f800000u) bits &= ~0x00800000u;  // finite
    indices.push_back(length - 1 + cddp::LoadLe<uint16_t>(data + at));
    values.push_back(std::bit_cast<float>(bits));
    length = indices.back() + 2;
  }
  std::vector<float> sent = values;
  std::string bytes;
  cddp::EncodeSparse(indices, absl::MakeSpan(sent), length, index_encoding, value_encoding, &bytes);
  const absl::StatusOr<cddp::DecodedUpdate> decoded = cddp::DecodeUpdate(bytes, length);
  Check(decoded.ok());
  Check(decoded->indices == indices);
  Check(decoded->values == sent);
  Check(value_encoding != cddp::ValueEncoding::kFp32 || sent == values);
  return 0;
}
