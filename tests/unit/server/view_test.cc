// The number of a shard's view: the events that raise it, its value after a crash, and its check in an Exchange.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/shard.h"
#include "tests/unit/journal/faulty_files.h"
#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kWorkers = 2;
constexpr uint32_t kLength = 8;

// A shard of one bucket whose workers are lost as soon as RetireLost is called.
class ViewShard {
 public:
  explicit ViewShard(FaultyFiles* files, Durability durability = Durability::kVersion) : metrics_(0, kWorkers) {
    ShardOptions options;
    options.worker_count = kWorkers;
    options.lease = absl::ZeroDuration();
    options.publish.ratio = 1;
    if (files != nullptr) {
      options.state_dir = "state";
      options.files = files;
    }
    options.durability = durability;
    shard_ = std::make_unique<Shard>(options, &metrics_);
    recovered_ = shard_->Recover();
  }
  ~ViewShard() { shard_->Close(absl::UnavailableError("the test ends")); }

  absl::Status recovered() const { return recovered_; }
  Shard* operator->() { return shard_.get(); }

  absl::Status Join(uint32_t rank, uint64_t incarnation = 1) {
    return shard_->Join(rank, incarnation, kWorkers, *ParameterLayout::Create({{"w", {kLength}}}, kLength)).status();
  }

  // The answer; Unavailable if it waits for others.
  absl::Status Exchange(uint32_t rank, uint64_t step, uint64_t view) {
    const std::string update = step == 0 && rank != 0 ? "" : Dense(std::vector<float>(kLength, 0.5F));
    auto answer = std::make_shared<absl::Status>(absl::UnavailableError("waits"));
    shard_->Exchange(1, view, 0, {rank, step, step, SharedBytes::Own(update)},
                     [answer](const absl::StatusOr<ExchangeAnswer>& got) { *answer = got.status(); });
    EXPECT_TRUE(shard_->Sync().ok());
    return *answer;
  }

 private:
  ServerMetrics metrics_;
  std::unique_ptr<Shard> shard_;
  absl::Status recovered_;
};

// Found by the simulation: after a first Join that failed for lack of room, a second one succeeded, and every Exchange
// was told that no worker had joined.
TEST(ViewTest, AFirstJoinThatFoundTheDiskFullIsMadeAgain) {
  FaultyFiles files;
  ViewShard shard(&files);
  files.FailOnce(0, absl::ResourceExhaustedError("the disk is full"));
  EXPECT_TRUE(absl::IsResourceExhausted(shard.Join(0)));
  while (absl::IsResourceExhausted(shard.Join(0))) {
  }
  ASSERT_TRUE(shard.Join(1).ok());
  EXPECT_TRUE(absl::IsUnavailable(shard.Exchange(0, 0, 1))) << "it waits for rank 1";
}

TEST(ViewTest, ARestartKeepsItFromJournalAndSnapshot) {
  for (int snapshot_after = 0; snapshot_after <= 4; ++snapshot_after) {
    FaultyFiles files;
    {
      ViewShard shard(&files);
      const auto snapshot_if = [&](int place) {
        if (place == snapshot_after) {
          EXPECT_TRUE(shard->WriteSnapshot().ok());
        }
      };
      ASSERT_TRUE(shard.Join(0).ok());
      snapshot_if(1);
      ASSERT_TRUE(shard.Join(1).ok());
      snapshot_if(2);
      EXPECT_EQ(shard->RetireLost().size(), 2u);
      ASSERT_TRUE(shard->membership().Touch(0, 1).ok());
      snapshot_if(3);  // knows who is back, before the journal does
      ASSERT_TRUE(shard->Leave(0, 1, /*finished=*/true).ok());
      snapshot_if(4);
      EXPECT_EQ(shard->view(), 6u);
    }
    files.Crash(FaultyFiles::Kept::kNothing);
    ViewShard again(&files);
    ASSERT_TRUE(again.recovered().ok()) << again.recovered();
    EXPECT_EQ(again->view(), 6u) << "snapshot at " << snapshot_after;
    EXPECT_EQ(again->status().view, 6u);
    EXPECT_EQ(again->status().members[0].state, MemberState::kFinished);
    EXPECT_EQ(again->status().members[1].state, MemberState::kLost);
    EXPECT_TRUE(again->RetireLost().empty());
    EXPECT_EQ(again->view(), 6u) << "a restart alone changes nothing";
    ASSERT_TRUE(again.Join(1, /*incarnation=*/2).ok());
    EXPECT_EQ(again->view(), 7u);
  }
}

TEST(ViewTest, WhatWasToldNoCrashTakesBack) {
  bool completed = false;
  for (uint64_t calls = 0; !completed; ++calls) {
    FaultyFiles files;
    uint64_t told = 0;
    {
      files.FailAfter(calls, absl::InternalError("crash"));
      ViewShard shard(&files);
      if (shard.recovered().ok()) {
        shard.Join(0).IgnoreError();
        shard.Join(1).IgnoreError();
        shard->RetireLost();
        shard->membership().Touch(1, 1).IgnoreError();
        shard->WriteSnapshot().IgnoreError();
        completed = shard->Leave(1, 1, /*finished=*/false).ok();
        told = shard->view();
      }
    }
    files.Crash(FaultyFiles::Kept::kNothing);
    ViewShard again(&files);
    ASSERT_TRUE(again.recovered().ok()) << again.recovered();
    ASSERT_GE(again->view(), told) << "after call " << calls;
  }
}

TEST(ViewTest, AnOlderViewIsFineAndOneThatNeverWasIsRefused) {
  FaultyFiles files;
  for (FaultyFiles* place : {&files, static_cast<FaultyFiles*>(nullptr)}) {
    ViewShard shard(place);
    ASSERT_TRUE(shard.Join(0).ok());
    ASSERT_TRUE(shard.Join(1).ok());
    EXPECT_TRUE(absl::IsUnavailable(shard.Exchange(0, 0, 0)));
    EXPECT_TRUE(shard.Exchange(1, 0, 1).ok());
    for (const uint64_t view : {uint64_t{3}, UINT64_MAX}) {
      const absl::Status status = shard.Exchange(0, 1, view);
      EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("is later than this server's, 2: it has lost its state"));
    }
    EXPECT_EQ(shard->status().min_version, 1u) << "what was refused changed nothing";
  }
}

TEST(ViewTest, WhereACrashMayTakeVersionsBackItMayTakeViewsBack) {
  for (const Durability durability : {Durability::kSnapshot, Durability::kNone}) {
    FaultyFiles files;
    ViewShard shard(&files, durability);
    ASSERT_TRUE(shard.Join(0).ok());
    ASSERT_TRUE(shard.Join(1).ok());
    EXPECT_TRUE(absl::IsUnavailable(shard.Exchange(0, 0, 100)));
    EXPECT_TRUE(shard.Exchange(1, 0, 100).ok());
  }
}

TEST(ViewTest, AfterARestartNoRoundWaitsForAWorkerThatIsLost) {
  FaultyFiles files;
  {
    ViewShard shard(&files);
    ASSERT_TRUE(shard.Join(0).ok());
    ASSERT_TRUE(shard.Join(1).ok());
    EXPECT_TRUE(absl::IsUnavailable(shard.Exchange(0, 0, 2)));
    EXPECT_TRUE(shard.Exchange(1, 0, 2).ok());
    EXPECT_EQ(shard->RetireLost().size(), 2u);
    // It is back, as the bucket's journal knows; the server dies before it has noted that of the members.
    EXPECT_TRUE(shard.Exchange(1, 1, 2).ok());
  }
  ViewShard again(&files);
  ASSERT_TRUE(again.recovered().ok()) << again.recovered();
  EXPECT_EQ(again->status().min_version, 2u);
  EXPECT_TRUE(again.Exchange(0, 2, 2).ok()) << "rank 1 is lost, and nobody would retire it a second time";
}

}  // namespace
}  // namespace cddp
