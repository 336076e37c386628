// Text as bytes: the data of a byte-level language model.

#ifndef WORKER_DATA_TEXT_DATASET_H_
#define WORKER_DATA_TEXT_DATASET_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/data/dataset.h"

namespace cddp {

struct TextDataset {
  std::string train;
  std::string validation;
  uint32_t context = 0;  // bytes that a model sees; an example is these and the byte after each

  // The number of examples, which do not overlap. Training begins each epoch at another of `context` offsets; the
  // validation examples are always the same.
  uint64_t train_windows() const { return train.size() < 2 * uint64_t{context} ? 0 : train.size() / context - 1; }
  uint64_t validation_windows() const { return validation.empty() ? 0 : (validation.size() - 1) / context; }
};

// Reads `path`: a file, or all files of a folder and its folders, in the order of their names, one after the other.
// It leaves out names that begin with a dot, links, and files that look binary (a zero among their first 8,000 bytes),
// which it logs. The last tenth of the bytes is for validation. `limits` count examples. NotFound if there is
// nothing at `path`; InvalidArgument, naming it, if there is too little text for an example in each part, or more than
// 32 bits count.
absl::StatusOr<TextDataset> LoadTextDataset(const std::string& path, uint32_t context, const DatasetLimits& limits);

}  // namespace cddp

#endif  // WORKER_DATA_TEXT_DATASET_H_
