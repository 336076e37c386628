// Made-up images for tests of models: easy to learn, the same everywhere.

#ifndef TESTS_UNIT_MODEL_TEST_IMAGES_H_
#define TESTS_UNIT_MODEL_TEST_IMAGES_H_

#include <cstdint>

#include "worker/data/dataset.h"

namespace cddp {

// Every class has a random image of its own; an example is that of its class with noise. Labels go round the classes.
ImageDataset MakeTestImages(uint32_t extent, uint32_t classes, uint32_t train_examples, uint32_t test_examples);

}  // namespace cddp

#endif  // TESTS_UNIT_MODEL_TEST_IMAGES_H_
