// Any bytes as an index part, with any count: the decoders of each index encoding, past the checks of a header.
// Input: encoding, Rice parameter, count (u16), length (u32), part.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/codec/bitmap.h"
#include "common/codec/gap8.h"
#include "common/codec/little_endian.h"
#include "common/codec/rice.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  const uint8_t encoding = data[0] % 3;
  const uint8_t parameter = data[1];
  const uint32_t length = cddp::LoadLe<uint32_t>(data + 4) & ((1u << 28) - 1);
  const size_t count = std::min<size_t>(cddp::LoadLe<uint16_t>(data + 2), length);
  // An exact copy, so that a read past the end is seen.
  const std::vector<uint8_t> copy(data + 8, data + size);
  const absl::Span<const uint8_t> part(copy);

  std::vector<uint32_t> indices(count);
  if (encoding == 2) {
    if (!cddp::ValidateBitmap(part, count, length).ok()) return 0;
    cddp::BitmapReader(part).Read(count, indices.data());
  } else {
    const bool valid = encoding == 0 ? cddp::ValidateGap8(part, count, length).ok()
                                     : cddp::ValidateRice(part, count, length, parameter).ok();
    if (!valid) return 0;
    for (size_t number = 0; number < cddp::IndexBlockCount(count); ++number) {
      const cddp::IndexBlock block = cddp::GetIndexBlock(part, count, length, number);
      std::vector<uint32_t> decoded(cddp::kDecodeRoom);
      if (encoding == 0) {
        cddp::DecodeGap8Block(block, decoded.data());
      } else {
        cddp::DecodeRiceBlock(block, parameter, decoded.data());
      }
      std::copy_n(decoded.begin(), block.count, indices.begin() + static_cast<ptrdiff_t>(number * cddp::kIndexBlock));
    }
  }
  for (size_t i = 0; i < count; ++i) {
    Check(indices[i] < length);
    Check(i == 0 || indices[i - 1] < indices[i]);
  }
  return 0;
}
