#include "common/files/save_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/clock/fake_clock.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

// A disk that is full for the first few tries.
struct Disk {
  int full = 0;
  std::vector<std::string> written = {};
  absl::Status operator()(const std::string& path) {
    if (full-- > 0) return absl::ResourceExhaustedError(path + ": cannot write: No space left on device");
    written.push_back(path);
    return absl::OkStatus();
  }
};

TEST(SaveOutputTest, TriesAgainUntilThereIsRoom) {
  FakeClock clock;
  Disk disk = {5};
  int told = 0;
  SaveOptions options = {.patience = absl::Seconds(60), .pause = absl::Seconds(1)};
  options.on_first = [&](const absl::Status&) { ++told; };
  EXPECT_TRUE(SaveOutput("/o/m.pt", std::ref(disk), clock, options).ok());
  EXPECT_THAT(disk.written, ::testing::ElementsAre("/o/m.pt"));
  EXPECT_EQ(clock.sleeps().size(), 5u);
  EXPECT_EQ(told, 1);
}

TEST(SaveOutputTest, GoesToTheRefugeAndSaysSo) {
  FakeClock clock;
  Disk disk = {11};  // the first, and ten more in ten seconds
  const absl::Status status = SaveOutput("/o/m.pt", std::ref(disk), clock,
                                         {.patience = absl::Seconds(10), .pause = absl::Seconds(1), .refuge = "/r"});
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("/o/m.pt: cannot write: No space left on device; it is saved as /r/m.pt"));
  EXPECT_THAT(disk.written, ::testing::ElementsAre("/r/m.pt"));
}

TEST(SaveOutputTest, ASignalEndsThePatienceNotTheSaving) {
  FakeClock clock;
  Disk disk = {1};
  SaveOptions options = {.patience = absl::Hours(1), .refuge = "/r"};
  options.should_stop = [] { return true; };
  EXPECT_THAT(SaveOutput("/o/m.pt", std::ref(disk), clock, options).message(), HasSubstr("saved as /r/m.pt"));
  EXPECT_TRUE(clock.sleeps().empty());
}

TEST(SaveOutputTest, SaysThatItIsLost) {
  FakeClock clock;
  Disk disk = {100};
  EXPECT_THAT(SaveOutput("/o/m.pt", std::ref(disk), clock, {.patience = absl::Seconds(5), .refuge = "/r"}).message(),
              HasSubstr("it could not be saved elsewhere either and is lost: /r/m.pt: cannot write"));
}

}  // namespace
}  // namespace cddp
