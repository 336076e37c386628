#include "common/codec/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace cddp {

uint32_t Crc32c(const void* data, size_t size, uint32_t crc) {
  constexpr size_t kPiece = size_t{1} << 30;  // the library counts in int
  auto* bytes = static_cast<unsigned char*>(const_cast<void*>(data));
  crc = ~crc;  // the library leaves out the customary inversions
  while (size > 0) {
    const size_t piece = std::min(size, kPiece);
    crc = crc32_iscsi(bytes, static_cast<int>(piece), crc);
    bytes += piece;
    size -= piece;
  }
  return ~crc;
}

}  // namespace cddp
