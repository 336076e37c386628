#include "worker/client/residual_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace cddp {
namespace {

std::string ReadAll(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

void WriteAll(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

TEST(ResidualFileTest, RoundTripsAndReplaces) {
  const std::string path = ::testing::TempDir() + "/residual_replaced";
  ASSERT_TRUE(WriteResidualFile(path, {7, 9, {1.5f, -2, 0}}).ok());
  ASSERT_TRUE(WriteResidualFile(path, {7, 10, {2.5f, -2, 1e-42f}}).ok());
  const absl::StatusOr<ResidualState> state = ReadResidualFile(path);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->fingerprint, 7u);
  EXPECT_EQ(state->step, 10u);
  EXPECT_EQ(state->values, (std::vector<float>{2.5f, -2, 1e-42f}));
}

TEST(ResidualFileTest, EveryTruncationAndEveryFlippedBitIsFound) {
  const std::string path = ::testing::TempDir() + "/residual_damaged";
  ASSERT_TRUE(WriteResidualFile(path, {7, 9, {1.5f, -2, 0}}).ok());
  const std::string good = ReadAll(path);
  for (size_t size = 0; size < good.size(); ++size) {
    WriteAll(path, good.substr(0, size));
    EXPECT_EQ(ReadResidualFile(path).status().code(), absl::StatusCode::kDataLoss) << size << " bytes";
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string damaged = good;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    WriteAll(path, damaged);
    EXPECT_EQ(ReadResidualFile(path).status().code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
}

TEST(ResidualFileTest, SaysWhatCannotBeReadOrWritten) {
  EXPECT_EQ(ReadResidualFile("/no/such/file").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(WriteResidualFile("/no/such/folder/file", {}).ok());
}

}  // namespace
}  // namespace cddp
