// Many threads on one bucket and one membership, for the thread sanitizer as much as for the assertions.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "common/sync/mutex.h"
#include "server/membership.h"
#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

// Blocks until the answer has come, as a worker does.
ExchangeAnswer ExchangeAndWait(BucketState& bucket, const Contribution& contribution) {
  Mutex mutex;
  CondVar answered;
  std::optional<ExchangeAnswer> result;
  bucket.Exchange(contribution, [&](const absl::StatusOr<ExchangeAnswer>& answer) {
    MutexLock lock(mutex);
    EXPECT_TRUE(answer.ok()) << answer.status();
    result = answer.ok() ? *answer : ExchangeAnswer{};
    answered.NotifyOne();
  });
  MutexLock lock(mutex);
  answered.Wait(mutex, [&] { return result.has_value(); });
  return *result;
}

TEST(ConcurrencyTest, WorkersRetriesAndReadersAtOnceLoseNothing) {
  constexpr uint32_t kWorkers = 4;
  constexpr uint64_t kSteps = 100;
  absl::StatusOr<std::unique_ptr<BucketState>> created = BucketState::Create(kBucketLength, DenseOptions(kWorkers));
  BucketState& bucket = **created;
  const SharedBytes one = SharedBytes::Own(Dense(std::vector<float>(kBucketLength, 1)));
  const SharedBytes zero = SharedBytes::Own(Dense(std::vector<float>(kBucketLength, 0)));

  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      const PublishedWeights read = bucket.Read();
      // One version, never half of one: every step moves all elements by -1.
      for (const float weight : read.weights) {
        ASSERT_EQ(weight, read.version == 0 ? 0 : 1.0f - static_cast<float>(read.version));
      }
      bucket.waiting();
      bucket.Checksum(0);
    }
  });
  std::vector<std::thread> workers;
  for (uint32_t rank = 0; rank < kWorkers; ++rank) {
    workers.emplace_back([&, rank] {
      for (uint64_t step = 0; step <= kSteps; ++step) {
        const Contribution contribution = {rank, step, step, step == 0 ? zero : one, false};
        const ExchangeAnswer first = ExchangeAndWait(bucket, contribution);
        const ExchangeAnswer retry = ExchangeAndWait(bucket, contribution);
        EXPECT_EQ(first.version, step + 1);
        EXPECT_GE(retry.version, step + 1);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  done = true;
  reader.join();
  EXPECT_EQ(bucket.version(), kSteps + 1);
}

TEST(ConcurrencyTest, CloseAnswersEveryWaitingCall) {
  constexpr uint32_t kCalls = 8;
  absl::StatusOr<std::unique_ptr<BucketState>> created = BucketState::Create(kBucketLength, DenseOptions(kCalls + 1));
  std::atomic<uint32_t> ended{0};
  std::vector<std::thread> callers;
  for (uint32_t rank = 0; rank < kCalls; ++rank) {
    callers.emplace_back([&, rank] {
      (*created)->Exchange({rank, 0, 0, SharedBytes(), false},
                           [&](const absl::StatusOr<ExchangeAnswer>& answer) { ended += !answer.ok(); });
    });
  }
  (*created)->Close(absl::UnavailableError("ending"));
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(ended, kCalls) << "whether it came before or after Close";
}

TEST(ConcurrencyTest, MembershipCountsEveryCall) {
  Membership membership(4, absl::Seconds(10));
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < 4; ++rank) {
    threads.emplace_back([&, rank] {
      ASSERT_TRUE(membership.Join(rank, 1).ok());
      for (uint64_t step = 0; step < 200; ++step) {
        ASSERT_TRUE(membership.Touch(rank, 1).ok());
        membership.NoteContribution(rank, step, 1, 1);
        membership.members();
        membership.TakeNewlyLost();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Member& member : membership.members()) EXPECT_EQ(member.received_bytes, 200u);
}

}  // namespace
}  // namespace cddp
