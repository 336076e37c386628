#include "common/trace/trace_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

namespace cddp {
namespace {

using nlohmann::json;

class TraceFileTest : public ::testing::Test {
 protected:
  ~TraceFileTest() override { std::filesystem::remove(path_); }

  json Events() const {
    std::ifstream file(path_);
    return json::parse(file);
  }

  const std::string path_ = ::testing::TempDir() + "/trace" + std::to_string(getpid()) + ".json";
};

TEST_F(TraceFileTest, SpansHaveTheirRowTimesAndLabels) {
  {
    auto trace = TraceFile::Create(path_, "worker 3", 3);
    ASSERT_TRUE(trace.ok()) << trace.status();
    const absl::Time begin = absl::FromUnixNanos(1'700'000'000'123'456'789);
    (*trace)->Span(TraceFile::Row::kTraining, "forward", begin, begin + absl::Microseconds(1500), {.step = 7});
    (*trace)->UnderWay("exchange", begin, begin + absl::Nanoseconds(40), {.step = 7, .bucket = 5, .bytes = 900});
  }
  const json events = Events();
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[0]["args"]["name"], "worker 3");
  const json& span = events[3];
  EXPECT_EQ(span["ph"], "X");
  EXPECT_EQ(span["pid"], 3);
  EXPECT_EQ(span["tid"], events[1]["tid"]);
  EXPECT_EQ(span["name"], "forward");
  EXPECT_NEAR(span["ts"].get<double>(), 1'700'000'000'123'456.789, 0.25);  // what a double can hold
  EXPECT_DOUBLE_EQ(span["dur"].get<double>(), 1500.0);
  EXPECT_EQ(span["args"], (json{{"step", 7}}));
  EXPECT_EQ(events[4]["ph"], "b");
  EXPECT_EQ(events[4]["args"], (json{{"step", 7}, {"bucket", 5}, {"bytes", 900}}));
  EXPECT_EQ(events[5]["ph"], "e");
  for (const char* key : {"pid", "cat", "id", "name"}) EXPECT_EQ(events[4][key], events[5][key]) << key;
}

TEST_F(TraceFileTest, EventsOfManyThreadsDoNotMix) {
  {
    auto trace = TraceFile::Create(path_, "worker 0", 0);
    ASSERT_TRUE(trace.ok()) << trace.status();
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) {
          (*trace)->UnderWay("exchange", absl::UnixEpoch(), absl::UnixEpoch(), {.bucket = i});
        }
      });
    }
  }
  EXPECT_EQ(Events().size(), 3u + 2 * 4 * 1000);
}

TEST_F(TraceFileTest, AFolderThatIsNotThereIsBadInput) {
  const auto trace = TraceFile::Create("/no/such/folder/trace.json", "worker 0", 0);
  EXPECT_EQ(trace.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(trace.status().message()), ::testing::HasSubstr("--trace=/no/such/folder/trace.json"));
}

}  // namespace
}  // namespace cddp
