#include "common/tensorboard/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// The bytes that TensorFlow's TFRecordWriter makes of b"abc".
TEST(EventFileTest, ARecordHasLengthAndMaskedChecksums) {
  EXPECT_EQ(absl::BytesToHexString(EventRecord("abc")), "0300000000000000b099490e6162636e57f121");
}

// As protobuf's text format has them:
//   wall_time: 2  file_version: "brain.Event:2"
//   wall_time: 2  step: 300  summary { value { tag: "a" simple_value: 0.5 } value { tag: "b/c" simple_value: -1 } }
TEST(EventFileTest, EventsAreProtobufMessages) {
  const absl::Time time = absl::UnixEpoch() + absl::Seconds(2);
  EXPECT_EQ(absl::BytesToHexString(VersionEvent(time)), "0900000000000000401a0d627261696e2e4576656e743a32");
  EXPECT_EQ(absl::BytesToHexString(ScalarEvent(300, time, {{"a", 0.5}, {"b/c", -1}})),
            "09000000000000004010ac022a160a080a0161150000003f0a0a0a03622f63"
            "15000080bf");
}

class EventFolderTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_ = ::testing::TempDir() + "/cddp_events_XXXXXX";
};

TEST_F(EventFolderTest, AFileBeginsWithItsVersionAndHoldsWhatWasAdded) {
  std::string path;
  uintmax_t size = 0;
  {
    auto file = EventFile::Create(absl::StrCat(folder_, "/a/b"));
    ASSERT_TRUE(file.ok()) << file.status();
    path = (*file)->path();
    EXPECT_THAT(path, MatchesRegex(".*/a/b/events\\.out\\.tfevents\\.[0-9]{10}\\..+"));
    size = std::filesystem::file_size(path);
    EXPECT_EQ(size, EventRecord(VersionEvent(absl::Now())).size());
    for (uint64_t step = 0; step < 3; ++step) (*file)->Add(step, {{"a", 1}});
  }
  EXPECT_EQ(std::filesystem::file_size(path), size + 3 * EventRecord(ScalarEvent(0, absl::Now(), {{"a", 1}})).size());
  auto other = EventFile::Create(absl::StrCat(folder_, "/a/b"));
  EXPECT_NE((*other)->path(), path);
}

TEST_F(EventFolderTest, SaysWhereItCannotWrite) {
  EXPECT_THAT(EventFile::Create("/dev/null/events").status().message(), HasSubstr("'/dev/null/events'"));
}

}  // namespace
}  // namespace cddp
