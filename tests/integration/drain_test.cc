// A server that is asked to end: rounds under way are completed, nothing new begins, and it says so.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>

#include "common/sync/mutex.h"
#include "common/transport/healthcheck.h"
#include "tests/integration/local_cluster.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

// What became of one Exchange.
class Answer {
 public:
  void Set(absl::StatusOr<PushReply> result) {
    MutexLock lock(mutex_);
    result_ = std::move(result);
    changed_.NotifyAll();
  }
  bool has() const {
    MutexLock lock(mutex_);
    return result_.has_value();
  }
  absl::StatusOr<PushReply> Get() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return result_.has_value(); });
    return *result_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::optional<absl::StatusOr<PushReply>> result_;
};

class DrainTest : public ::testing::Test {
 protected:
  DrainTest() : layout_(*ParameterLayout::Create({{"w", {32}}}, 16)), servers_(LocalClusterOptions{}) {
    for (uint32_t rank = 0; rank < 2; ++rank) {
      GrpcClusterOptions options = servers_.ClientOptions(rank);
      options.server_timeout = absl::Milliseconds(500);
      clients_.push_back(*GrpcCluster::Join(options, layout_));
    }
  }
  ~DrainTest() override { clients_.clear(); }

  std::shared_ptr<Answer> Push(uint32_t rank, uint32_t bucket, uint64_t step) {
    auto answer = std::make_shared<Answer>();
    clients_[rank]->Exchange({{bucket, step, step, {}}},
                             [answer](uint32_t, absl::StatusOr<PushReply> result) { answer->Set(std::move(result)); });
    return answer;
  }
  absl::Status Health() {
    return CheckHealth(servers_.addresses()[0], grpc::InsecureChannelCredentials(), absl::Seconds(20));
  }
  Server& server() { return servers_.server(0); }
  // Has bucket 0's round a contribution?
  void AwaitOpenRound() {
    while (server().shard().status().waiting.ranks.empty()) std::this_thread::yield();
  }

  const ParameterLayout layout_;
  LocalServers servers_;
  std::vector<std::unique_ptr<GrpcCluster>> clients_;
};

TEST_F(DrainTest, RoundsUnderWayAreCompletedAndNothingNewBegins) {
  const auto waits = Push(0, /*bucket=*/0, 0);
  AwaitOpenRound();
  EXPECT_TRUE(Health().ok());
  std::thread drain([&] { server().Drain(absl::Seconds(60)); });
  while (Health().ok()) std::this_thread::yield();
  EXPECT_FALSE(waits->has());

  const auto begins = Push(0, /*bucket=*/1, 0);
  EXPECT_THAT(std::string(begins->Get().status().message()), HasSubstr("the server is ending"));
  const auto completes = Push(1, /*bucket=*/0, 0);
  ASSERT_TRUE(completes->Get().ok()) << completes->Get().status();
  ASSERT_TRUE(waits->Get().ok()) << waits->Get().status();
  EXPECT_EQ(waits->Get()->version, 1u);
  drain.join();  // long before its timeout
  EXPECT_EQ(server().shard().status().max_version, 1u);

  GrpcClusterOptions late = servers_.ClientOptions(0);
  late.server_timeout = absl::Milliseconds(200);
  EXPECT_TRUE(absl::IsUnavailable(GrpcCluster::Join(late, layout_).status()));
}

TEST_F(DrainTest, WhatNobodyCompletesIsEndedAfterTheTimeout) {
  const auto waits = Push(0, 0, 0);
  AwaitOpenRound();
  const absl::Time begin = absl::Now();
  server().Drain(absl::Milliseconds(100));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(100));
  EXPECT_FALSE(waits->has());
  server().Stop();
  EXPECT_TRUE(absl::IsUnavailable(waits->Get().status())) << waits->Get().status();
}

TEST_F(DrainTest, CallsOfWorkersThatWentAwayAreNotWaitedFor) {
  Push(0, 0, 0);
  AwaitOpenRound();
  clients_[0].reset();
  server().Drain(absl::InfiniteDuration());
  SUCCEED() << "else this does not end";
}

}  // namespace
}  // namespace cddp
