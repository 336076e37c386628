// NumPy's .npy format: a line of Python that describes the array, then its elements.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

#ifndef WORKER_DATA_NPY_H_
#define WORKER_DATA_NPY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/array.h"

namespace cddp {

// The array in the bytes of a .npy file, of version 1 to 3. InvalidArgument says what is wrong, without the file's
// name: damage, a size that does not match the shape, and unsupported content: big-endian numbers, Fortran order,
// texts, records, Python objects.
absl::StatusOr<Array> ParseNpy(absl::string_view bytes);

}  // namespace cddp

#endif  // WORKER_DATA_NPY_H_
