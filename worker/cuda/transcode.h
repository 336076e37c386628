// Converts, on the host, between index encodings of the kernels and the others. The values' bytes stay unchanged, so
// that nothing is rounded twice.

#ifndef WORKER_CUDA_TRANSCODE_H_
#define WORKER_CUDA_TRANSCODE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/codec/encoding.h"
#include "common/codec/update_reader.h"

namespace cddp {

// The index part of a sparse update in 8-bit gaps.
std::string GapsOf(const CheckedUpdate& update);

// A sparse update with its indices in another encoding (not kDense): the bytes that EncodeSparse makes of its entries.
std::string WithIndexEncoding(const CheckedUpdate& update, IndexEncoding encoding);

}  // namespace cddp

#endif  // WORKER_CUDA_TRANSCODE_H_
