// crc32c (Castagnoli), the checksum of state files and of replicas' weights.

#ifndef COMMON_CODEC_CRC32C_H_
#define COMMON_CODEC_CRC32C_H_

#include <cstddef>
#include <cstdint>

namespace cddp {

// The crc32c of `size` bytes at `data`, continuing from `crc` (0 to begin): Crc32c(ab) == Crc32c(b, Crc32c(a)).
uint32_t Crc32c(const void* data, size_t size, uint32_t crc = 0);

}  // namespace cddp

#endif  // COMMON_CODEC_CRC32C_H_
