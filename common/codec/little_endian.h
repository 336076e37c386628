// Unaligned little-endian loads and stores.

#ifndef COMMON_CODEC_LITTLE_ENDIAN_H_
#define COMMON_CODEC_LITTLE_ENDIAN_H_

#include <bit>
#include <cstdint>
#include <cstring>

namespace cddp {

static_assert(std::endian::native == std::endian::little, "the wire format is little-endian, and so is the code");

template <typename T>
inline T LoadLe(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename T>
inline void StoreLe(T value, void* to) {
  std::memcpy(to, &value, sizeof(value));
}

}  // namespace cddp

#endif  // COMMON_CODEC_LITTLE_ENDIAN_H_
