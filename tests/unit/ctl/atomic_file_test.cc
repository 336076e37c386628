#include "deploy/ctl/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/ctl/temp_folder.h"

namespace cddp::ctl {
namespace {

TEST(AtomicFileTest, ReplacesAndLeavesNothingElse) {
  TempFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "one").ok());
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "two").ok());
  EXPECT_EQ(ReadFile(folder.File("f")), "two");
  EXPECT_FALSE(std::filesystem::exists(folder.File("f.tmp")));
}

TEST(AtomicFileTest, ErrorNamesTheFile) {
  const absl::Status status = WriteFileAtomically("/nowhere/f", "x");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("/nowhere/f"));
}

}  // namespace
}  // namespace cddp::ctl
