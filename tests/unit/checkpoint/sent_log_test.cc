#include "worker/checkpoint/sent_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;

class SentLogTest : public ::testing::Test {
 protected:
  SentLogTest() { std::filesystem::create_directories(folder_); }
  ~SentLogTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<SentLog> Open(uint64_t step, const std::string& run = "a") {
    absl::StatusOr<std::unique_ptr<SentLog>> log = SentLog::Open(folder_, 3, run, step);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }
  static std::string Found(const SentLog& log, uint64_t step, uint32_t bucket) {
    const std::optional<SharedBytes> found = log.Find(step, bucket);
    return found.has_value() ? std::string(found->view()) : "none";
  }
  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) names.insert(entry.path().filename());
    return names;
  }

  const std::string folder_ = absl::StrCat(::testing::TempDir(), "/cddp_sent_", getpid());
};

TEST_F(SentLogTest, TheNextProcessFindsWhatWasSent) {
  {
    const auto log = Open(5);
    EXPECT_TRUE(log->empty());
    log->Note(5, 1, "five one");
    log->Note(5, 0, "five zero");
    log->BeginFile(6);
    log->Note(6, 1, "six one");
    EXPECT_EQ(Found(*log, 5, 1), "none") << "its own life's";
  }
  {
    const auto log = Open(6);
    EXPECT_EQ(Found(*log, 6, 1), "six one");
    EXPECT_EQ(Found(*log, 5, 1), "none") << "before its step";
    log->Note(7, 1, "seven one");
  }
  const auto log = Open(5);
  EXPECT_EQ(Found(*log, 5, 0), "five zero");
  EXPECT_EQ(Found(*log, 7, 1), "seven one");
  EXPECT_EQ(Found(*log, 7, 0), "none");
}

TEST_F(SentLogTest, KeepsFilesFromTheCheckpointBeforeTheLastOn) {
  const auto log = Open(1);
  for (const uint64_t step : {11, 21, 31}) {
    log->BeginFile(step);
    log->NoteDurable(step);
  }
  EXPECT_THAT(Files(), ElementsAre("worker-3.sent-21", "worker-3.sent-31"));
}

TEST_F(SentLogTest, AnotherRunsFilesAreRemoved) {
  Open(1)->Note(1, 0, "of a");
  const auto log = Open(1, "b");
  EXPECT_EQ(Found(*log, 1, 0), "none");
}

// At every byte: what is whole is found, and what comes later is found again.
TEST_F(SentLogTest, ATornEndIsCutOff) {
  Open(1)->Note(1, 0, "first");
  const std::string path = absl::StrCat(folder_, "/worker-3.sent-1");
  const uintmax_t one = std::filesystem::file_size(path);
  Open(1)->Note(1, 1, "second");
  const uintmax_t two = std::filesystem::file_size(path);
  for (uintmax_t size = one; size < two; ++size) {
    std::filesystem::resize_file(path, size);
    {
      const auto log = Open(1);
      EXPECT_EQ(Found(*log, 1, 0), "first");
      EXPECT_EQ(Found(*log, 1, 1), "none");
      log->Note(1, 1, "second");
    }
    EXPECT_EQ(Found(*Open(1), 1, 1), "second");
  }
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(static_cast<std::streamoff>(two) - 1)
      << '\0';
  EXPECT_EQ(Found(*Open(1), 1, 1), "none") << "its checksum is wrong";
}

}  // namespace
}  // namespace cddp
