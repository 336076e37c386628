// Workers that are killed, stopped and replaced at any moment: with their checkpoints the weights end as if nothing had
// happened, bit for bit; without, training goes on and all replicas are equal.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/fault/child.h"
#include "tests/fault/cluster_version.h"
#include "tests/fault/server_process.h"
#include "tests/integration/small_data_set.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_folder.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kWorkers = 2;
constexpr uint32_t kServers = 2;
constexpr uint64_t kStepsPerEpoch = 640 / (kWorkers * 16);

// Servers and workers as processes, in a folder of their own.
class Cluster {
 public:
  Cluster(const std::filesystem::path& folder, const std::string& name, uint64_t epochs, absl::Duration lease)
      : folder_(folder / name), data_(folder / "data"), epochs_(epochs) {
    WriteSmallDataSet(data_);
    std::filesystem::create_directories(folder_);
    for (uint32_t shard = 0; shard < kServers; ++shard) {
      servers_.push_back(std::make_unique<ServerProcess>(
          std::vector<std::string>{absl::StrCat("--shard=", shard), absl::StrCat("--shards=", kServers),
                                   absl::StrCat("--workers=", kWorkers), "--publish_ratio=0.05", "--lr=0.02",
                                   "--log_versions=100", absl::StrCat("--lease=", absl::FormatDuration(lease))}));
    }
  }

  // With the flag of its checkpoints, or as one that never had any.
  void StartWorker(uint32_t rank, bool with_checkpoints) {
    std::vector<std::string> flags = {absl::StrCat("--rank=", rank),
                                      absl::StrCat("--workers=", kWorkers),
                                      absl::StrCat("--servers=", servers_[0]->address(), ",", servers_[1]->address()),
                                      "--model=simple_cnn",
                                      "--batch_size=16",
                                      "--ratio=0.05",
                                      absl::StrCat("--epochs=", epochs_),
                                      "--data_dir=" + data_.string(),
                                      "--metrics_listen=",
                                      "--progress=json",
                                      "--bucket_bytes=65536"};
    if (with_checkpoints) {
      flags.push_back("--checkpoint_dir=" + folder_.string());
      flags.push_back("--checkpoint_every=15");
    }
    workers_[rank] = std::make_unique<Child>("cddp-worker", flags, File(rank, "out"), File(rank, "err"));
  }

  Child& worker(uint32_t rank) { return *workers_[rank]; }
  std::string File(uint32_t rank, const std::string& kind) const {
    return (folder_ / absl::StrCat("worker-", rank, ".", kind)).string();
  }

  uint64_t version() const { return VersionsOf(servers_[0]->address()).first; }
  uint64_t all_steps() const { return epochs_ * kStepsPerEpoch; }

  // Waits until this version is reached or some worker has ended.
  void AwaitVersion(uint64_t version) {
    const bool reached = Eventually([&] {
      return this->version() >= version ||
             std::any_of(workers_.begin(), workers_.end(), [](const auto& worker) { return worker->HasEnded(); });
    });
    EXPECT_TRUE(reached) << "version " << version << " did not come";
  }

  // The checksum of the weights, which all workers must have, at their end.
  std::string Finish() {
    std::string checksum;
    for (uint32_t rank = 0; rank < kWorkers; ++rank) {
      EXPECT_EQ(worker(rank).Wait(), 0) << FileContent(File(rank, "err"));
      std::istringstream lines(FileContent(File(rank, "out")));
      std::string own;
      for (std::string line; std::getline(lines, line);) {
        const nlohmann::json event = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (event.is_object() && event.value("event", "") == "done") own = event.at("weights_crc32c");
      }
      EXPECT_NE(own, "");
      if (rank == 0) checksum = own;
      EXPECT_EQ(own, checksum) << "rank " << rank;
    }
    return checksum;
  }

 private:
  const std::filesystem::path folder_;
  const std::filesystem::path data_;
  const uint64_t epochs_;
  std::vector<std::unique_ptr<ServerProcess>> servers_;
  std::array<std::unique_ptr<Child>, kWorkers> workers_;
};

class WorkerKillTest : public ::testing::Test {
 protected:
  std::string Undisturbed(uint64_t epochs) {
    Cluster cluster(folder_.path(), "calm", epochs, absl::Seconds(60));
    for (uint32_t rank = 0; rank < kWorkers; ++rank) cluster.StartWorker(rank, false);
    return cluster.Finish();
  }

  const uint64_t seed_ = Setting("CDDP_FAULT_SEED", 1);
  const uint64_t kills_ = Setting("CDDP_FAULT_KILLS", 2);
  const TempFolder folder_;
};

// Seconds until this version is there.
double PauseUntil(Cluster& cluster, uint64_t version) {
  const absl::Time begin = absl::Now();
  cluster.AwaitVersion(version);
  return absl::ToDoubleSeconds(absl::Now() - begin);
}

TEST_F(WorkerKillTest, FromItsCheckpointAWorkerGoesOnAsIfNothingHadHappened) {
  const uint64_t epochs = 2 * (kills_ + 1);
  const std::string expected = Undisturbed(epochs);
  Cluster cluster(folder_.path(), "kills", epochs, absl::Seconds(60));
  for (uint32_t rank = 0; rank < kWorkers; ++rank) cluster.StartWorker(rank, true);
  std::mt19937_64 random(seed_);
  double longest_pause = 0;
  for (uint64_t kill = 0; kill < kills_; ++kill) {
    const uint64_t part = cluster.all_steps() / (kills_ + 1);
    cluster.AwaitVersion(kill * part + 2 + random() % part);
    absl::SleepFor(absl::Microseconds(random() % 3000));
    const uint32_t rank = random() % kWorkers;
    cluster.worker(rank).Kill();
    // Every other time its latest checkpoint is damaged besides: the one before it does.
    const auto checkpoint = [&](const char* name) { return folder_ / "kills" / absl::StrCat("worker-", rank, name); };
    const std::filesystem::path latest = checkpoint(".checkpoint");
    // It may have died between two renames, where only the previous one is there.
    if (kill % 2 == 1 && std::filesystem::exists(latest) &&
        std::filesystem::exists(checkpoint(".previous.checkpoint"))) {
      std::filesystem::resize_file(latest, std::filesystem::file_size(latest) / 2);
    }
    const uint64_t version = cluster.version();
    cluster.StartWorker(rank, true);
    // The killed worker may have contributed to the open round of every bucket, so one more proves nothing.
    longest_pause = std::max(longest_pause, PauseUntil(cluster, std::min(version + 2, cluster.all_steps())));
  }
  const std::string checksum = cluster.Finish();
  EXPECT_EQ(checksum, expected) << "seed " << seed_;
  for (uint32_t rank = 0; rank < kWorkers; ++rank) {
    EXPECT_THAT(FileContent(cluster.File(rank, "err")), ::testing::Not(HasSubstr("event=weights_replaced")));
  }
  printf("result worker_kills %lu kills\n", static_cast<unsigned long>(kills_));
  printf("result weights_equal %d bool\n", checksum == expected);
  printf("result longest_pause %.3f s\n", longest_pause);
}

TEST_F(WorkerKillTest, NewWorkersJoinInTheMiddleOfTheRun) {
  constexpr double kLeaseSeconds = 1.5;
  Cluster cluster(folder_.path(), "joins", 12 * (kills_ + 1), absl::Seconds(kLeaseSeconds));
  for (uint32_t rank = 0; rank < kWorkers; ++rank) cluster.StartWorker(rank, false);
  std::mt19937_64 random(seed_);
  double longest_pause = 0;
  uint64_t joined = 0;
  for (uint64_t kill = 0; kill < kills_; ++kill) {
    const uint64_t part = cluster.all_steps() / (kills_ + 1);
    cluster.AwaitVersion(kill * part + 2 + random() % (part / 2));
    absl::SleepFor(absl::Microseconds(random() % 3000));
    const uint32_t rank = random() % kWorkers;
    cluster.worker(rank).Kill();
    const uint64_t version = cluster.version();
    if (version >= cluster.all_steps()) break;
    cluster.StartWorker(rank, false);
    ++joined;
    longest_pause = std::max(longest_pause, PauseUntil(cluster, std::min(version + 2, cluster.all_steps())));
  }
  cluster.Finish();
  EXPECT_GE(joined, 1u);
  printf("result new_workers %lu workers\n", static_cast<unsigned long>(joined));
  printf("result replicas_equal %d bool\n", !HasFailure());
  printf("result longest_pause_without_checkpoint %.3f s\n", longest_pause);
}

TEST_F(WorkerKillTest, AWorkerThatStoodStillForLongerThanItsLeaseCatchesUp) {
  Cluster cluster(folder_.path(), "stopped", 20, absl::Seconds(1));
  for (uint32_t rank = 0; rank < kWorkers; ++rank) cluster.StartWorker(rank, true);
  cluster.AwaitVersion(25);
  cluster.worker(1).Send(SIGSTOP);
  const uint64_t version = cluster.version();
  cluster.AwaitVersion(version + 5);  // without it
  cluster.worker(1).Send(SIGCONT);
  cluster.Finish();
  EXPECT_THAT(FileContent(cluster.File(1, "err")), HasSubstr("event=steps_missed"));
}

TEST_F(WorkerKillTest, AWorkerThatStoodStillWithinItsLeaseChangesNothing) {
  const std::string expected = Undisturbed(2);
  Cluster cluster(folder_.path(), "stopped", 2, absl::Seconds(60));
  for (uint32_t rank = 0; rank < kWorkers; ++rank) cluster.StartWorker(rank, false);
  cluster.AwaitVersion(25);
  cluster.worker(1).Send(SIGSTOP);
  absl::SleepFor(absl::Milliseconds(300));
  cluster.worker(1).Send(SIGCONT);
  EXPECT_EQ(cluster.Finish(), expected);
}

TEST_F(WorkerKillTest, SigtermLeavesACheckpointAndTheRunGoesOnFromIt) {
  const std::string expected = Undisturbed(3);
  Cluster cluster(folder_.path(), "terminated", 3, absl::Seconds(60));
  for (uint32_t rank = 0; rank < kWorkers; ++rank) cluster.StartWorker(rank, true);
  cluster.AwaitVersion(40);
  cluster.worker(1).Send(SIGTERM);
  EXPECT_EQ(cluster.worker(1).Wait(), 128 + SIGTERM);
  EXPECT_THAT(FileContent(cluster.File(1, "err")), HasSubstr("stopped by a signal after step"));
  cluster.StartWorker(1, true);
  EXPECT_EQ(cluster.Finish(), expected);
}

TEST_F(WorkerKillTest, ACheckpointOfAnotherRunIsAClearError) {
  Cluster cluster(folder_.path(), "other", 1, absl::Seconds(60));
  for (uint32_t rank = 0; rank < kWorkers; ++rank) cluster.StartWorker(rank, true);
  cluster.Finish();
  Child other("cddp-worker",
              {"--rank=0", "--workers=2", "--model=simple_cnn", "--batch_size=16", "--ratio=0.05", "--seed=43",
               "--data_dir=" + (folder_ / "data").string(), "--metrics_listen=", "--bucket_bytes=65536",
               "--checkpoint_dir=" + (folder_ / "other").string()},
              cluster.File(9, "out"), cluster.File(9, "err"));
  EXPECT_EQ(other.Wait(), 2);
  EXPECT_THAT(FileContent(cluster.File(9, "err")),
              HasSubstr("was written with --seed=42, but this worker has --seed=43"));
}

}  // namespace
}  // namespace cddp
