#include "worker/data/idx_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class IdxFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<IdxArray> Read(const std::string& content, uint32_t dimensions) {
    const std::string path = folder_.File("array-idx");
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return ReadIdxFile(path, dimensions);
  }

 private:
  const TempFolder folder_;
};

const std::string kGood(
    "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"
    "abcdef",
    18);

TEST_F(IdxFileTest, ReadsExtentsAndBytes) {
  const absl::StatusOr<IdxArray> array = Read(kGood, 2);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_THAT(array->extents, ElementsAre(2, 3));
  EXPECT_EQ(std::string(array->bytes.begin(), array->bytes.end()), "abcdef");
}

TEST_F(IdxFileTest, RefusesEveryTruncationAndEveryExtraByte) {
  for (size_t size = 0; size < kGood.size(); ++size) {
    EXPECT_FALSE(Read(kGood.substr(0, size), 2).ok()) << size;
  }
  EXPECT_THAT(Read(kGood.substr(0, 17), 2).status().message(), HasSubstr("promises 18 bytes, it has 17"));
  EXPECT_THAT(Read(kGood + "x", 2).status().message(), HasSubstr("too long"));
}

TEST_F(IdxFileTest, RefusesOtherKindsAndBombs) {
  EXPECT_THAT(Read(kGood, 3).status().message(), HasSubstr("not an IDX file"));
  std::string floats = kGood;
  floats[2] = 0x0d;
  EXPECT_FALSE(Read(floats, 2).ok());
  EXPECT_FALSE(Read("\x1f\x8b rubbish, perhaps a gzip file", 2).ok());
  const std::string bomb("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
  EXPECT_THAT(Read(bomb, 3).status().message(), HasSubstr("truncated"));
  // 2^31 * 2^31 * 4 wraps to zero in 64 bits: the empty file behind it must not pass for what the header promises.
  const std::string wraps("\0\0\x08\x03\x80\0\0\0\x80\0\0\0\0\0\0\x04", 16);
  EXPECT_THAT(Read(wraps, 3).status().message(), HasSubstr("truncated"));
}

TEST_F(IdxFileTest, NamesAMissingFile) {
  EXPECT_EQ(ReadIdxFile("/no/such/file", 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ReadIdxFile("/no/such/file", 1).status().message(), HasSubstr("/no/such/file"));
}

}  // namespace
}  // namespace cddp
