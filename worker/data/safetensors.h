// The safetensors format: a JSON text that describes the arrays, then their elements.
// https://github.com/huggingface/safetensors

#ifndef WORKER_DATA_SAFETENSORS_H_
#define WORKER_DATA_SAFETENSORS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/array.h"

namespace cddp {

// The arrays in the bytes of a .safetensors file, by name. InvalidArgument says what is wrong, without the file's name:
// damage, ranges that lie outside or do not match the shape, and unsupported element types.
absl::StatusOr<std::map<std::string, Array>> ParseSafetensors(absl::string_view bytes);

}  // namespace cddp

#endif  // WORKER_DATA_SAFETENSORS_H_
