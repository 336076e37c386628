// A small data set of IDX files that a linear model can learn.

#ifndef TESTS_INTEGRATION_SMALL_DATA_SET_H_
#define TESTS_INTEGRATION_SMALL_DATA_SET_H_

#include <filesystem>

namespace cddp {

// 640 training and 100 test images of 12x12 pixels: class c of four has a bright square at its own place. Makes the
// folder.
void WriteSmallDataSet(const std::filesystem::path& folder);

}  // namespace cddp

#endif  // TESTS_INTEGRATION_SMALL_DATA_SET_H_
