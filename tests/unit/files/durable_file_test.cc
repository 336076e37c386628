#include "common/files/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DurableFileTest : public ::testing::Test {
 protected:
  DurableFileTest() : folder_(absl::StrCat(::testing::TempDir(), "/cddp_files_", getpid())) {
    fs::create_directory(folder_);
  }
  ~DurableFileTest() override { fs::remove_all(folder_); }

  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  ptrdiff_t Files() const { return std::distance(fs::directory_iterator(folder_), {}); }

  const std::string folder_;
  const std::string path_ = folder_ + "/f";
};

TEST_F(DurableFileTest, ReplacesAndLeavesNothingElse) {
  ASSERT_TRUE(ReplaceFile(path_, std::string("one")).ok());
  ASSERT_TRUE(ReplaceFile(path_, std::string("two")).ok());
  EXPECT_EQ(Read(path_), "two");
  EXPECT_EQ(Files(), 1);
}

TEST_F(DurableFileTest, ErrorNamesTheFile) {
  const absl::Status status = ReplaceFile("/nowhere/f", std::string("x"));
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("/nowhere/f"));
}

TEST_F(DurableFileTest, WhatIsNoRegularFileStays) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0644), 0);
  EXPECT_THAT(ReplaceFile(path_, std::string("x")).message(), HasSubstr("is a pipe: only regular files"));
  EXPECT_THAT(CheckReplaceable(path_).message(), HasSubstr("is a pipe"));
  EXPECT_TRUE(fs::is_fifo(path_));
  EXPECT_EQ(Files(), 1);
  EXPECT_THAT(ReplaceFile(folder_, std::string("x")).message(), HasSubstr("is a folder"));
  EXPECT_THAT(CheckReplaceable("/dev/null").message(), HasSubstr("is a device"));
}

TEST_F(DurableFileTest, ADeviceIsNotReplaced) {
  // Of our own: a test that fails must not cost the machine its /dev/null.
  if (mknod(path_.c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) GTEST_SKIP() << "needs root to make a device";
  fs::create_symlink("f", folder_ + "/link");
  EXPECT_THAT(ReplaceFile(path_, std::string("x")).message(), HasSubstr("is a device"));
  EXPECT_THAT(ReplaceFile(folder_ + "/link", std::string("x")).message(), HasSubstr("/f: is a device"));
  EXPECT_TRUE(fs::is_character_file(path_));
}

TEST_F(DurableFileTest, AFifoUnderTheTemporaryNameIsNotOpened) {
  ASSERT_EQ(mkfifo((path_ + ".new").c_str(), 0644), 0);  // opening it would wait for ever
  EXPECT_THAT(ReplaceFile(path_, std::string("x")).message(), HasSubstr("f.new: is a pipe"));
}

TEST_F(DurableFileTest, ALinkStaysAndItsFileIsReplaced) {
  std::ofstream(folder_ + "/real") << "old";
  fs::create_symlink("real", path_);
  EXPECT_TRUE(CheckReplaceable(path_).ok());
  ASSERT_TRUE(ReplaceFile(path_, std::string("new")).ok());
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(Read(folder_ + "/real"), "new");

  fs::create_symlink("nothing", folder_ + "/loose");
  EXPECT_THAT(CheckReplaceable(folder_ + "/loose").message(), HasSubstr("leads to no file"));
}

TEST_F(DurableFileTest, ChecksFolderAndRoomAndLeavesNothing) {
  EXPECT_TRUE(CheckReplaceable(path_).ok());
  EXPECT_EQ(Files(), 0);
  for (const std::string& bad : {std::string("/nonexistent/f"), folder_, folder_ + "/", std::string("/proc/f")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckReplaceable(bad))) << bad;
  }
  EXPECT_THAT(CheckReplaceable(path_, uint64_t{1} << 60).message(), HasSubstr("the disk has room for"));
  std::ofstream(path_) << "old";
  EXPECT_TRUE(CheckReplaceable(path_).ok());
  EXPECT_EQ(Read(path_), "old");
}

}  // namespace
}  // namespace cddp
