// The IDX format of MNIST and its successors: a magic number, the extents, then bytes.
// http://yann.lecun.com/exdb/mnist: big-endian; magic 0x0000 08 DD with 08 for unsigned bytes and DD dimensions.

#ifndef WORKER_DATA_IDX_FILE_H_
#define WORKER_DATA_IDX_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace cddp {

struct IdxArray {
  std::vector<uint32_t> extents;  // the requested number of dimensions
  std::vector<uint8_t> bytes;     // their product
};

// Reads a file of unsigned bytes with `dimensions` dimensions. NotFound or InvalidArgument, with the file, what is
// wrong and what to do, if it cannot be read, is of another kind, or its size does not match its header. It allocates
// memory only after checking the size.
absl::StatusOr<IdxArray> ReadIdxFile(const std::string& path, uint32_t dimensions);

}  // namespace cddp

#endif  // WORKER_DATA_IDX_FILE_H_
