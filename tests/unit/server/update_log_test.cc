#include "server/update_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Updates(const std::vector<SharedBytes>& runs) {
  std::vector<std::string> updates;
  for (const SharedBytes& run : runs) {
    for (const absl::string_view update : UpdatesOf(run)) updates.emplace_back(update);
  }
  return updates;
}

TEST(UpdateRunTest, OneByItselfOfAnySize) {
  for (const size_t size : {1, 127, 128, 16'383, 16'384, 1'000'000}) {
    const std::string update(size, 'u');
    const SharedBytes run = RunOf(update);
    EXPECT_EQ(run.size(), SizeInRun(update));
    EXPECT_THAT(UpdatesOf(run), ElementsAre(update));
  }
}

TEST(UpdateRunTest, WhatIsNoRunHasNoUpdates) {
  const SharedBytes run = RunOf("update");
  EXPECT_THAT(UpdatesOf(run.Part(0, run.size() - 1)), IsEmpty());
}

TEST(UpdateLogTest, GivesWhatLeadsFromOneVersionToAnother) {
  UpdateLog log(1000);
  for (const char* update : {"1", "22", "", "4444"}) log.Append(update);
  EXPECT_EQ(log.newest(), 4u);
  EXPECT_EQ(log.bytes(), 7u);
  EXPECT_THAT(Updates(*log.Between(0, 4)), ElementsAre("1", "22", "4444"));
  EXPECT_THAT(Updates(*log.Between(1, 2)), ElementsAre("22"));
  EXPECT_THAT(Updates(*log.Between(2, 3)), IsEmpty());
  EXPECT_THAT(Updates(*log.Between(4, 4)), IsEmpty());
  EXPECT_TRUE(log.Refused(3));
  EXPECT_FALSE(log.Refused(4));
}

TEST(UpdateLogTest, ManyVersionsAreFewPiecesAndOutliveTheLog) {
  std::vector<std::string> all;
  std::vector<SharedBytes> runs;
  {
    UpdateLog log(0, 1000);
    for (int i = 0; i < 1000; ++i) {
      all.push_back(std::string(100 + i % 50, static_cast<char>(i)));
      log.Append(all.back());
    }
    runs = *log.Between(0, 1000);
    for (int i = 0; i < 1000; ++i) log.Append(std::string(130, 'n'));  // all others are forgotten
    EXPECT_FALSE(log.Between(999, 1000).has_value());
    EXPECT_LE(log.Between(1000, 2000)->size(), 10u);
  }
  EXPECT_LE(runs.size(), 10u);
  EXPECT_EQ(Updates(runs), all);
}

TEST(UpdateLogTest, LargeUpdatesBetweenSmallOnes) {
  UpdateLog log(1'000'000);
  std::vector<std::string> all;
  for (const size_t size : {1, 20'000, 2, 2047, 2048, 2049, 3, 100'000}) {
    all.push_back(std::string(size, static_cast<char>('a' + all.size())));
    log.Append(all.back());
  }
  EXPECT_EQ(Updates(*log.Between(0, log.newest())), all);
}

TEST(UpdateLogTest, ForgetsTheOldestBeyondItsBytesButNeverTheNewest) {
  UpdateLog log(/*max_bytes=*/5);
  for (const char* update : {"11", "22", "33"}) log.Append(update);
  EXPECT_FALSE(log.Between(0, 3).has_value());
  EXPECT_THAT(Updates(*log.Between(1, 3)), ElementsAre("22", "33"));
  EXPECT_EQ(log.bytes(), 4u);
  log.Append("larger than all");
  EXPECT_THAT(Updates(*log.Between(3, 4)), ElementsAre("larger than all"));
  EXPECT_FALSE(log.Between(2, 4).has_value());
  EXPECT_FALSE(log.Refused(1)) << "forgotten";
}

TEST(UpdateLogTest, IsRestored) {
  UpdateLog log(1000);
  for (const char* update : {"1", "", "3"}) log.Append(update);
  UpdateLog other(1000);
  other.Restore(30, log.Updates());
  EXPECT_EQ(other.newest(), 30u);
  EXPECT_EQ(other.bytes(), 2u);
  EXPECT_THAT(Updates(*other.Between(27, 30)), ElementsAre("1", "3"));
  EXPECT_FALSE(other.Between(26, 30).has_value());
  EXPECT_TRUE(other.Refused(29));
}

}  // namespace
}  // namespace cddp
