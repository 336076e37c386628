#include "worker/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

class DatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Images("train", 2, {0, 0, 0, 255, 0, 255, 255, 0});
    Labels("train", {0, 3});
    Images("t10k", 1, {1, 2, 3, 4});
    Labels("t10k", {1});
  }

  void Images(const std::string& set, char count, std::vector<uint8_t> pixels) {
    std::ofstream file(folder_.File(set + "-images-idx3-ubyte"), std::ios::binary | std::ios::trunc);
    file << std::string("\0\0\x08\x03\0\0\0", 7) << count << std::string("\0\0\0\x02\0\0\0\x02", 8);
    file.write(reinterpret_cast<const char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
  }
  void Labels(const std::string& set, std::vector<uint8_t> labels) {
    std::ofstream file(folder_.File(set + "-labels-idx1-ubyte"), std::ios::binary | std::ios::trunc);
    file << std::string("\0\0\x08\x01\0\0\0", 7) << static_cast<char>(labels.size());
    file.write(reinterpret_cast<const char*>(labels.data()), static_cast<std::streamsize>(labels.size()));
  }

  const TempFolder folder_;
};

TEST_F(DatasetTest, CountsClassesAndMeasuresPixels) {
  const absl::StatusOr<ImageDataset> data = LoadImageDataset(folder_.string(), {});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train.count(), 2u);
  EXPECT_EQ(data->test.count(), 1u);
  EXPECT_EQ(data->classes, 4u);
  EXPECT_DOUBLE_EQ(data->pixel_mean, 3.0 / 8);
  EXPECT_NEAR(data->pixel_stddev, 0.484123, 1e-6);
}

TEST_F(DatasetTest, LimitsTakeTheFirstExamples) {
  const absl::StatusOr<ImageDataset> data = LoadImageDataset(folder_.string(), {1, 0});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train.count(), 1u);
  EXPECT_EQ(data->train.pixels.size(), 4u);
}

TEST_F(DatasetTest, RefusesWhatDoesNotFitTogether) {
  Labels("train", {0, 1, 2});
  EXPECT_THAT(LoadImageDataset(folder_.string(), {}).status().message(), HasSubstr("2 images but 3 labels"));
  Labels("train", {0, 1});
  Images("train", 2, {7, 7, 7, 7, 7, 7, 7, 7});
  EXPECT_THAT(LoadImageDataset(folder_.string(), {}).status().message(), HasSubstr("all training pixels are equal"));
  std::filesystem::remove(folder_ / "t10k-labels-idx1-ubyte");
  EXPECT_THAT(LoadImageDataset(folder_.string(), {}).status().message(), HasSubstr("t10k-labels-idx1-ubyte"));
}

}  // namespace
}  // namespace cddp
