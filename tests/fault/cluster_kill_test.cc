// The whole cluster killed at once, by a loss of power as it were, and resumed: one version, and the weights end as if
// nothing had happened, bit for bit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/fault/child.h"
#include "tests/fault/cluster_version.h"
#include "tests/integration/small_data_set.h"
#include "tests/support/temp_folder.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(120);
constexpr uint64_t kStepsPerEpoch = 640 / (2 * 16);

class ClusterKillTest : public ::testing::Test {
 protected:
  ClusterKillTest() { WriteSmallDataSet(folder_ / "data"); }

  std::string Output(const std::string& run) const { return (folder_ / run).string(); }

  std::unique_ptr<Child> Start(const std::string& run, std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"train", "--output=" + Output(run)});
    said_ = (folder_ / absl::StrCat("said-", ++lives_)).string();
    return std::make_unique<Child>("cddp", flags, said_, said_);
  }

  std::vector<std::string> NewRun() const {
    return {"--data_dir=" + (folder_ / "data").string(),
            "--model=simple_cnn",
            "--workers=2",
            "--servers=2",
            absl::StrCat("--epochs=", epochs_),
            "--batch_size=16",
            "--lr=0.02",
            "--ratio=0.05",
            "--threads=1",
            "--checkpoint_every=15",
            "--bucket_bytes=65536",
            "--durable"};
  }

  // Smallest and largest version of all servers; zeros if they are not there.
  std::pair<uint64_t, uint64_t> Versions() const {
    const std::string said = FileContent(said_);
    const std::string before = "watch it with: cddp status --watch --servers=";
    const size_t at = said.find(before);
    const size_t end = said.find('\n', at);
    if (at == std::string::npos || end == std::string::npos) return {0, 0};
    const std::vector<std::string> addresses =
        absl::StrSplit(said.substr(at + before.size(), end - at - before.size()), ',');
    std::pair<uint64_t, uint64_t> versions = {UINT64_MAX, 0};
    for (const std::string& address : addresses) {
      const auto [smallest, largest] = VersionsOf(address);
      versions = {std::min(versions.first, smallest), std::max(versions.second, largest)};
    }
    return versions;
  }

  // Waits until all servers are at `version`, or the run has ended.
  void AwaitVersion(Child& cddp, uint64_t version) {
    for (const absl::Time deadline = absl::Now() + kPatience; absl::Now() < deadline && !cddp.HasEnded();) {
      if (Versions().first >= version) return;
      absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_TRUE(cddp.HasEnded()) << "version " << version << " did not come; " << FileContent(said_);
  }

  // Kills a run: the kernel kills all that it has started. Returns when the servers are gone, and their journals free.
  void KillAll(Child& cddp) {
    cddp.Kill();
    for (const absl::Time deadline = absl::Now() + kPatience; absl::Now() < deadline && Versions().second > 0;) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_EQ(Versions().second, 0u) << "the servers outlived it";
  }

  nlohmann::json Report(const std::string& run) const {
    return nlohmann::json::parse(FileContent(Output(run) + "/report.json"), nullptr, false);
  }

  const uint64_t kills_ = Setting("CDDP_FAULT_KILLS", 2);
  const uint64_t epochs_ = 2 * (kills_ + 1);
  const TempFolder folder_;
  std::string said_;  // file with what the present life says
  int lives_ = 0;
};

TEST_F(ClusterKillTest, ResumedItEndsAsIfNothingHadHappened) {
  const uint64_t seed = Setting("CDDP_FAULT_SEED", 1);
  ASSERT_EQ(Start("calm", NewRun())->Wait(), 0) << FileContent(said_);

  std::mt19937_64 random(seed);
  std::unique_ptr<Child> cddp = Start("kills", NewRun());
  for (uint64_t kill = 0; kill < kills_; ++kill) {
    const uint64_t part = epochs_ * kStepsPerEpoch / (kills_ + 1);
    AwaitVersion(*cddp, kill * part + 1 + random() % part);
    absl::SleepFor(absl::Microseconds(random() % 3000));
    KillAll(*cddp);
    cddp = Start("kills", {"--resume"});
  }
  EXPECT_EQ(cddp->Wait(), 0) << FileContent(said_);
  const nlohmann::json calm = Report("calm");
  const nlohmann::json report = Report("kills");
  EXPECT_EQ(report.value("state", ""), "finished");
  const bool equal = report.value("weights_crc32c", "no report") == calm.at("weights_crc32c");
  EXPECT_TRUE(equal) << "seed " << seed << ": " << report;
  ASSERT_TRUE(report.contains("epochs"));
  EXPECT_EQ(report.at("epochs").size(), epochs_) << "those before the last life, too";
  EXPECT_EQ(report.at("epochs").back().at("test_accuracy"), calm.at("epochs").back().at("test_accuracy"));
  printf("result cluster_kills %lu kills\n", static_cast<unsigned long>(kills_));
  printf("result cluster_weights_equal %d bool\n", equal);
}

TEST_F(ClusterKillTest, AContradictionAndAMissingRunAreClearErrors) {
  std::vector<std::string> flags = NewRun();
  flags.push_back("--epochs=1");
  ASSERT_EQ(Start("run", flags)->Wait(), 0) << FileContent(said_);
  EXPECT_EQ(Start("run", {"--resume", "--epochs=5"})->Wait(), 2);
  EXPECT_THAT(FileContent(said_), HasSubstr("--epochs=5 contradicts the run in"));
  EXPECT_EQ(Start("run", {"--resume", "--ratio=0.05"})->Wait(), 0) << "the same is no contradiction; and it is done";
  EXPECT_EQ(Start("nowhere", {"--resume"})->Wait(), 2);
  EXPECT_THAT(FileContent(said_), HasSubstr("there is no run in"));
  EXPECT_EQ(Start("run", NewRun())->Wait(), 2);
  EXPECT_THAT(FileContent(said_), HasSubstr("--resume"));
}

}  // namespace
}  // namespace cddp
