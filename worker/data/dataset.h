// Image classification data sets in IDX files: MNIST, Fashion-MNIST, KMNIST, EMNIST or one's own.

#ifndef WORKER_DATA_DATASET_H_
#define WORKER_DATA_DATASET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace cddp {

struct ImageSet {
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<uint8_t> pixels;  // [count, rows, cols]
  std::vector<uint8_t> labels;  // [count]
  uint64_t count() const { return labels.size(); }
};

// crc32c of the size, all pixels and all labels.
uint32_t Checksum(const ImageSet& set);

struct ImageDataset {
  ImageSet train;
  ImageSet test;
  uint32_t classes = 0;     // largest label + 1
  double pixel_mean = 0;    // of all training pixels, scaled to [0, 1]
  double pixel_stddev = 0;  // likewise; above 0
};

// N: only the first N examples; 0: all.
struct DatasetLimits {
  uint64_t train_examples = 0;
  uint64_t test_examples = 0;
};

// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte and their t10k- counterparts from `folder`. NotFound or
// InvalidArgument, naming the file, if one is missing, damaged, empty or does not fit the others.
absl::StatusOr<ImageDataset> LoadImageDataset(const std::string& folder, const DatasetLimits& limits);

// Blank images of one pixel, for models that do not use them; 0: 1024 examples.
ImageDataset BlankDataset(uint64_t train_examples);

}  // namespace cddp

#endif  // WORKER_DATA_DATASET_H_
