// A server whose disk is full: its workers wait or are told which file and what to do, and once there is room, training
// ends as if nothing had happened, bit for bit.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/log/log.h"
#include "common/transport/channel.h"
#include "tests/fault/child.h"
#include "tests/fault/server_process.h"
#include "tests/fault/training.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kServers = 2;
constexpr uint64_t kSteps = 150;
constexpr char kTiny[] = "size=160k";  // full long before the last step; holds the first ones
constexpr char kAmple[] = "size=64m";

class DiskFullTest : public ::testing::Test {
 protected:
  DiskFullTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("cddp_disk_full_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~DiskFullTest() override {
    umount2(disk().c_str(), MNT_DETACH);
    std::filesystem::remove_all(folder_);
  }

  void SetUp() override {
    std::filesystem::create_directories(disk());
    // In a mount namespace of its own: seen by this thread and the servers that it starts, and gone with them.
    if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "needs root for a file system of its own";
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << strerror(errno);
    ASSERT_EQ(mount("tmpfs", disk().c_str(), "tmpfs", 0, kTiny), 0) << strerror(errno);
  }

  std::string disk() const { return folder_ / "disk"; }
  void MakeRoom() const {
    ASSERT_EQ(mount("tmpfs", disk().c_str(), "tmpfs", MS_REMOUNT, kAmple), 0) << strerror(errno);
  }

  // Server 0 with its state there, server 1 with none.
  void StartServers() {
    for (uint32_t shard = 0; shard < kServers; ++shard) {
      std::vector<std::string> flags = TrainingServerFlags(shard, kServers);
      flags.push_back("--lease=60s");
      if (shard == 0) {
        flags.push_back("--state_dir=" + disk() + "/state");
        flags.push_back(absl::StrCat("--snapshot_bytes=", uint64_t{1} << 40));  // so that the journal grows
      }
      servers_.push_back(std::make_unique<ServerProcess>(std::move(flags)));
      addresses_.push_back(servers_.back()->address());
    }
  }

  // What server 0 says to who wants its weights.
  grpc::Status ReadWeights() const {
    const auto stub = v1::ParameterServer::NewStub(CreateChannel(addresses_[0]));
    grpc::ClientContext context;
    const auto reader = stub->Snapshot(&context, {});
    for (v1::SnapshotChunk chunk; reader->Read(&chunk);) {
    }
    return reader->Finish();
  }

  void AwaitFullDisk(const std::atomic<uint64_t>& done_steps) const {
    while (ReadWeights().error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) {
      ASSERT_LT(done_steps, kTrainingWorkers * kSteps) << "the training went on without its disk";
      ASSERT_FALSE(HasFailure());
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  const std::filesystem::path folder_;
  std::vector<std::unique_ptr<ServerProcess>> servers_;
  std::vector<std::string> addresses_;
};

// What the workers of this process log, until it goes.
class CapturedLog {
 public:
  CapturedLog() {
    SetLogSink([this](LogLevel, absl::string_view line) { text_.append(line.data(), line.size()).append("\n"); });
  }
  ~CapturedLog() { SetLogSink(nullptr); }

  const std::string& text() const { return text_; }  // when nobody writes any more

 private:
  std::string text_;
};

TEST_F(DiskFullTest, WithRoomTrainingGoesOnAsIfNothingHadHappened) {
  std::vector<float> expected;
  {
    const ServerProcess calm(TrainingServerFlags(0, 1));
    expected = Train({{calm.address()}, kSteps}, [](const auto&) {})[0];
  }
  StartServers();
  const CapturedLog log;
  const auto weights = Train({addresses_, kSteps}, [&](const std::atomic<uint64_t>& done_steps) {
    AwaitFullDisk(done_steps);
    const uint64_t full_at = done_steps;
    EXPECT_GT(full_at, kTrainingWorkers * 5) << "it shall be full in the middle of the training";
    MakeRoom();
  });
  EXPECT_THAT(log.text(), HasSubstr("event=waiting_for_server server=" + addresses_[0] + " reason=\"" + disk()));
  EXPECT_THAT(log.text(), HasSubstr("the disk is full; make room, and the server goes on"));
  ASSERT_FALSE(expected.empty());
  for (uint32_t rank = 0; rank < kTrainingWorkers; ++rank) EXPECT_TRUE(weights[rank] == expected) << "rank " << rank;
}

TEST_F(DiskFullTest, WorkersThatGiveUpSayWhichFileAndWhatToDo) {
  StartServers();
  std::vector<absl::Status> errors;
  Train({addresses_, kSteps, absl::Seconds(1), &errors}, [](const auto&) {});
  for (const absl::Status& error : errors) {
    EXPECT_EQ(error.code(), absl::StatusCode::kResourceExhausted) << error;
    EXPECT_THAT(std::string(error.message()), HasSubstr("server " + addresses_[0])) << error;
    EXPECT_THAT(std::string(error.message()), HasSubstr(disk() + "/state/")) << error;
    EXPECT_THAT(std::string(error.message()), HasSubstr("the disk is full; make room, and the server goes on"));
  }
}

TEST_F(DiskFullTest, AServerThatStartsOnAFullDiskSaysSo) {
  ASSERT_EQ(mount("tmpfs", disk().c_str(), "tmpfs", MS_REMOUNT, "nr_inodes=2"), 0) << strerror(errno);
  const std::string said_at = folder_ / "said";
  Child server("cddp-server", {"--listen=127.0.0.1:0", "--metrics_listen=", "--state_dir=" + disk() + "/state"},
               said_at, said_at);
  EXPECT_EQ(server.Wait(), 1);
  const std::string said = FileContent(said_at);
  EXPECT_THAT(said, HasSubstr(disk() + "/state"));
  EXPECT_THAT(said, HasSubstr("the disk is full; make room, and the server goes on"));
}

}  // namespace
}  // namespace cddp
