// Arrays of examples and their targets: the data of a model from a file.

#ifndef WORKER_DATA_ARRAY_DATASET_H_
#define WORKER_DATA_ARRAY_DATASET_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/data/array.h"
#include "worker/data/dataset.h"

namespace cddp {

// Inputs and targets have the same number of examples, at least one. Training and test arrays have the same type, and
// the same shape except the first extent.
struct ArrayDataset {
  Array train_inputs;
  Array train_targets;
  Array test_inputs;
  Array test_targets;
};

// Reads the arrays x_train, y_train, x_test and y_test from `path`: a .npz or .safetensors file, or a folder with a
// .npy file each. Without test arrays the last tenth of the examples is for testing. Other arrays are
// ignored. `limits` count examples. NotFound or InvalidArgument, naming file and array, if something is missing,
// damaged, empty, does not fit the others, or is not finite.
absl::StatusOr<ArrayDataset> LoadArrayDataset(const std::string& path, const DatasetLimits& limits);

// crc32c of the data: types, shapes and elements.
uint32_t Checksum(const ArrayDataset& data);

}  // namespace cddp

#endif  // WORKER_DATA_ARRAY_DATASET_H_
