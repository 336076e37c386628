#include "worker/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "common/codec/crc32c.h"
#include "worker/data/idx_file.h"

namespace cddp {
namespace {

absl::StatusOr<ImageSet> LoadSet(const std::string& prefix, uint64_t limit) {
  absl::StatusOr<IdxArray> images = ReadIdxFile(absl::StrCat(prefix, "-images-idx3-ubyte"), 3);
  if (!images.ok()) return images.status();
  absl::StatusOr<IdxArray> labels = ReadIdxFile(absl::StrCat(prefix, "-labels-idx1-ubyte"), 1);
  if (!labels.ok()) return labels.status();
  if (images->extents[0] != labels->extents[0]) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix, "-*: ", images->extents[0], " images but ", labels->extents[0], " labels"));
  }
  if (images->bytes.empty()) return absl::InvalidArgumentError(absl::StrCat(prefix, "-images-idx3-ubyte: is empty"));
  ImageSet set = {images->extents[1], images->extents[2], std::move(images->bytes), std::move(labels->bytes)};
  if (limit != 0 && limit < set.count()) {
    set.labels.resize(limit);
    set.pixels.resize(limit * set.rows * set.cols);
  }
  return set;
}

}  // namespace

uint32_t Checksum(const ImageSet& set) {
  const uint32_t extents[] = {set.rows, set.cols};
  uint32_t crc = Crc32c(extents, sizeof extents);
  crc = Crc32c(set.pixels.data(), set.pixels.size(), crc);
  return Crc32c(set.labels.data(), set.labels.size(), crc);
}

absl::StatusOr<ImageDataset> LoadImageDataset(const std::string& folder, const DatasetLimits& limits) {
  absl::StatusOr<ImageSet> train = LoadSet(absl::StrCat(folder, "/train"), limits.train_examples);
  if (!train.ok()) return train.status();
  absl::StatusOr<ImageSet> test = LoadSet(absl::StrCat(folder, "/t10k"), limits.test_examples);
  if (!test.ok()) return test.status();
  if (train->rows != test->rows || train->cols != test->cols) {
    return absl::InvalidArgumentError(absl::StrCat(folder, ": training images are ", train->rows, "x", train->cols,
                                                   ", test images ", test->rows, "x", test->cols));
  }
  ImageDataset data = {*std::move(train), *std::move(test)};
  data.classes = 1 + std::max(*std::max_element(data.train.labels.begin(), data.train.labels.end()),
                              *std::max_element(data.test.labels.begin(), data.test.labels.end()));

  // Sums of bytes and of their squares are exact in 64 bits up to 2^48 pixels.
  uint64_t sum = 0;
  uint64_t squares = 0;
  for (const uint64_t pixel : data.train.pixels) {
    sum += pixel;
    squares += pixel * pixel;
  }
  // The difference is taken before anything is rounded, so that nearly equal pixels do not cancel out.
  const uint64_t pixels = data.train.pixels.size();
  const absl::uint128 spread = absl::uint128(pixels) * squares - absl::uint128(sum) * sum;  // pixels^2 * variance
  if (spread == 0) return absl::InvalidArgumentError(absl::StrCat(folder, ": all training pixels are equal"));
  const double scale = 255 * static_cast<double>(pixels);
  data.pixel_mean = static_cast<double>(sum) / scale;
  data.pixel_stddev = std::sqrt(static_cast<double>(spread)) / scale;
  return data;
}

ImageDataset BlankDataset(uint64_t train_examples) {
  const uint64_t count = train_examples != 0 ? train_examples : 1024;
  ImageDataset data;
  data.train = {1, 1, std::vector<uint8_t>(count), std::vector<uint8_t>(count)};
  data.test = {1, 1, {0}, {0}};
  data.classes = 1;
  data.pixel_stddev = 1;
  return data;
}

}  // namespace cddp
