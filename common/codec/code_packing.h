// Converts codes of 8, 4, 2 or 1 bits between one per byte and packed, the first in the lowest bits.

#ifndef COMMON_CODEC_CODE_PACKING_H_
#define COMMON_CODEC_CODE_PACKING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/codec/little_endian.h"

namespace cddp {

inline constexpr size_t kCodeBlock = 256;

inline size_t PackedBytes(int bits, size_t count) { return (count * static_cast<size_t>(bits) + 7) / 8; }

// Packs the first `count` of kCodeBlock codes; the others are zero.
inline void PackCodes(int bits, const uint8_t* codes, size_t count, uint8_t* packed) {
  uint8_t all[kCodeBlock];
  switch (bits) {
    case 8:
      std::memcpy(packed, codes, count);
      return;
    case 4:
      for (size_t i = 0; i < kCodeBlock / 2; ++i) {
        all[i] = static_cast<uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
      }
      break;
    case 2:
      for (size_t i = 0; i < kCodeBlock / 4; ++i) {
        const uint8_t* four = codes + 4 * i;
        all[i] = static_cast<uint8_t>(four[0] | four[1] << 2 | four[2] << 4 | four[3] << 6);
      }
      break;
    default:
      for (size_t i = 0; i < kCodeBlock / 8; ++i) {
        // Byte j of eight has weight 2^(8 j); the factor takes its bit to 2^(56 + j).
        all[i] = static_cast<uint8_t>(LoadLe<uint64_t>(codes + 8 * i) * 0x0102040810204080u >> 56);
      }
  }
  std::memcpy(packed, all, PackedBytes(bits, count));
}

// Unpacks `count` codes, and zeros up to kCodeBlock.
inline void UnpackCodes(int bits, const uint8_t* packed, size_t count, uint8_t* codes) {
  uint8_t all[kCodeBlock] = {};
  std::memcpy(all, packed, PackedBytes(bits, count));
  switch (bits) {
    case 8:
      std::memcpy(codes, all, kCodeBlock);
      return;
    case 4:
      for (size_t i = 0; i < kCodeBlock / 2; ++i) {
        codes[2 * i] = all[i] & 15;
        codes[2 * i + 1] = static_cast<uint8_t>(all[i] >> 4);
      }
      return;
    case 2:
      for (size_t i = 0; i < kCodeBlock / 4; ++i) {
        for (size_t j = 0; j < 4; ++j) codes[4 * i + j] = all[i] >> 2 * j & 3;
      }
      return;
    default:
      for (size_t i = 0; i < kCodeBlock / 8; ++i) {
        // Byte j keeps bit j, which the sum carries to its top.
        const uint64_t one_each = all[i] * 0x0101010101010101u & 0x8040201008040201u;
        StoreLe<uint64_t>((one_each + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u, codes + 8 * i);
      }
  }
}

}  // namespace cddp

#endif  // COMMON_CODEC_CODE_PACKING_H_
