#include "common/files/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

TEST(DurableFileTest, ReplacesAndLeavesNothingElse) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/cddp_files_", getpid());
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/f";
  ASSERT_TRUE(ReplaceFile(path, std::string("one")).ok());
  ASSERT_TRUE(ReplaceFile(path, std::string("two")).ok());
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

TEST(DurableFileTest, ErrorNamesTheFile) {
  const absl::Status status = ReplaceFile("/nowhere/f", std::string("x"));
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("/nowhere/f"));
}

}  // namespace
}  // namespace cddp
