#include "tests/unit/model/test_images.h"

#include <random>

namespace cddp {
namespace {

ImageSet MakeSet(const std::vector<uint8_t>& patterns, uint32_t extent, uint32_t classes, uint32_t examples,
                 std::mt19937* random) {
  ImageSet set = {extent, extent, {}, {}};
  const size_t image_pixels = size_t{extent} * extent;
  for (uint32_t i = 0; i < examples; ++i) {
    const uint32_t label = i % classes;
    set.labels.push_back(static_cast<uint8_t>(label));
    for (size_t pixel = 0; pixel < image_pixels; ++pixel) {
      set.pixels.push_back(static_cast<uint8_t>(patterns[label * image_pixels + pixel] + (*random)() % 32));
    }
  }
  return set;
}

}  // namespace

ImageDataset MakeTestImages(uint32_t extent, uint32_t classes, uint32_t train_examples, uint32_t test_examples) {
  std::mt19937 random(7);  // its numbers are the same with every standard library
  std::vector<uint8_t> patterns(size_t{classes} * extent * extent);
  for (uint8_t& pixel : patterns) pixel = random() % 2 == 0 ? 0 : 200;
  ImageDataset data;
  data.train = MakeSet(patterns, extent, classes, train_examples, &random);
  data.test = MakeSet(patterns, extent, classes, test_examples, &random);
  data.classes = classes;
  data.pixel_mean = 0.45;
  data.pixel_stddev = 0.4;
  return data;
}

}  // namespace cddp
