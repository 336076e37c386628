// A server that starts on the journal of another: what fits goes on, what does not is told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/integration/local_cluster.h"
#include "tests/support/temp_folder.h"
#include "worker/buckets/host_buckets.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

class RecoveryTest : public ::testing::Test {
 protected:
  RecoveryTest() {
    options_.metrics_listen = "";
    options_.shard.publish.ratio = 1;
    options_.shard.state_dir = folder_.string();
  }

  // Initialises and makes `steps` steps of one worker; the checksum of the published weights.
  uint32_t Train(Server& server, int steps) {
    const ParameterLayout layout = *ParameterLayout::Create({{"w", {64}}}, 64);
    GrpcClusterOptions options;
    options.addresses = {server.address()};
    auto client = GrpcCluster::Join(options, layout);
    EXPECT_TRUE(client.ok()) << client.status();
    auto exchange = MakeHostExchange(layout, {CompressorOptions{}, 1, 0}, client->get());
    std::vector<float> weights(64, 1);
    EXPECT_TRUE((*exchange)->Initialise(absl::MakeSpan(weights), true).ok());
    for (int step = 0; step < steps; ++step) {
      const std::vector<float> gradient(64, 0.01F * static_cast<float>(step + 1));
      EXPECT_TRUE((*exchange)->Step(gradient, absl::MakeSpan(weights)).ok());
    }
    return server.shard().Checksum();
  }

  const TempFolder folder_;
  ServerOptions options_;
};

TEST_F(RecoveryTest, GoesOnWhereTheJournalEnds) {
  uint32_t before = 0;
  {
    auto server = Server::Start(options_);
    ASSERT_TRUE(server.ok()) << server.status();
    before = Train(**server, 20);
  }
  const auto server = Server::Start(options_);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->shard().status().min_version, 21u);
  EXPECT_EQ((*server)->shard().Checksum(), before);
  ASSERT_EQ((*server)->shard().status().members.size(), 1u);
}

TEST_F(RecoveryTest, TellsThatAllHaveFinishedNowAndWhenStartedAgain) {
  absl::Notification* told = nullptr;
  options_.on_finished = [&told](const absl::Status& synced) {
    EXPECT_TRUE(synced.ok()) << synced;
    told->Notify();
  };
  absl::Notification first;
  told = &first;
  {
    const auto server = Server::Start(options_);
    ASSERT_TRUE(server.ok()) << server.status();
    const ParameterLayout layout = *ParameterLayout::Create({{"w", {64}}}, 64);
    GrpcClusterOptions options;
    options.addresses = {(*server)->address()};
    auto client = GrpcCluster::Join(options, layout);
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_FALSE(first.HasBeenNotified());
    (*client)->Leave(/*finished=*/true);
    EXPECT_TRUE(first.WaitForNotificationWithTimeout(absl::Seconds(30)));
  }
  absl::Notification again;
  told = &again;
  const auto server = Server::Start(options_);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(again.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(RecoveryTest, AWorkerThatLeavesWhileTheServerIsAwayIsHeardOf) {
  absl::Notification told;
  std::unique_ptr<GrpcCluster> client;
  {
    const auto server = Server::Start(options_);
    ASSERT_TRUE(server.ok()) << server.status();
    GrpcClusterOptions options;
    options.addresses = {(*server)->address()};
    auto joined = GrpcCluster::Join(options, *ParameterLayout::Create({{"w", {64}}}, 64));
    ASSERT_TRUE(joined.ok()) << joined.status();
    client = *std::move(joined);
    options_.listen = (*server)->address();
  }
  std::thread leaving([&client] { client->Leave(/*finished=*/true); });
  absl::SleepFor(absl::Milliseconds(200));  // a try fails meanwhile; should none have, the test is only easier
  options_.on_finished = [&told](const absl::Status&) { told.Notify(); };
  const auto server = Server::Start(options_);
  EXPECT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(told.WaitForNotificationWithTimeout(absl::Seconds(60)));
  leaving.join();
}

TEST_F(RecoveryTest, OtherFlagsAreNamed) {
  { Train(**Server::Start(options_), 3); }
  options_.shard.optimizer.lr.base *= 2;
  const absl::Status status = Server::Start(options_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("--lr="));
}

TEST_F(RecoveryTest, ADamagedJournalIsTold) {
  { Train(**Server::Start(options_), 20); }
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    if (entry.file_size() < 1000) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
    file.put('\x5a').put('\x5a').put('\x5a');
  }
  const absl::Status status = Server::Start(options_).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_.string()));
}

}  // namespace
}  // namespace cddp
