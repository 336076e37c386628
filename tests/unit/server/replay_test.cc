// A worker that repeats its last steps from a checkpoint gets the same answers and is not counted twice.

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>
#include <utility>

#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

std::vector<float> First(float value) {
  std::vector<float> values(kBucketLength);
  values[0] = value;
  return values;
}

void Initialise(BucketDriver& bucket, uint32_t workers) {
  bucket.Push(0, 0, Dense(First(0)));
  for (uint32_t rank = 1; rank < workers; ++rank) bucket.Push(rank, 0, "");
}

BucketOptions Remembering(uint32_t workers) {
  BucketOptions options = DenseOptions(workers);
  options.log_versions = 100;
  return options;
}

TEST(ReplayTest, EachRetriedStepIsAnsweredWithItsRoundAlone) {
  BucketDriver bucket(Remembering(2));
  Initialise(bucket, 2);
  std::vector<std::vector<float>> seen(1, bucket.weights());  // by version, from 1
  for (uint64_t step = 1; step <= 6; ++step) {
    bucket.Push(0, step, Dense(First(static_cast<float>(step))));
    bucket.Push(1, step, Dense(First(1)));
    seen.push_back(bucket.weights());
  }
  bucket.state().Admit(1);
  std::vector<float> replica = seen[1];
  for (uint64_t step = 2; step <= 6; ++step) {
    const size_t call = bucket.Push(1, step, Dense(First(1)));
    ASSERT_TRUE(bucket.answered(call)) << "step " << step;
    EXPECT_EQ(bucket.answer(call).version, step + 1);
    EXPECT_FALSE(bucket.answer(call).replaces);
    ASSERT_TRUE(bucket.ApplyAnswer(call, &replica));
    EXPECT_EQ(replica, seen[step]);
  }
  EXPECT_EQ(bucket.weights(), seen.back()) << "nothing was counted twice";
  // Nor in the rounds to come, as something late.
  bucket.Push(0, 7, "");
  const size_t next = bucket.Push(1, 7, "");
  ASSERT_TRUE(bucket.answered(next));
  EXPECT_EQ(bucket.weights(), seen.back());
}

TEST(ReplayTest, TheOpenRoundKeepsWhatTheProcessBeforeContributed) {
  BucketDriver bucket(Remembering(2));
  Initialise(bucket, 2);
  bucket.Push(1, 1, Dense(First(2)));
  bucket.state().Admit(1);
  const size_t retry = bucket.Push(1, 1, Dense(First(100)));
  EXPECT_FALSE(bucket.answered(retry));
  bucket.Push(0, 1, "");
  ASSERT_TRUE(bucket.answered(retry));
  EXPECT_EQ(bucket.weights()[0], -1);
}

TEST(ReplayTest, ARefusedStepIsRefusedAgain) {
  BucketDriver bucket(Remembering(2));
  Initialise(bucket, 2);
  for (uint64_t step = 1; step <= 4; ++step) {
    bucket.Push(0, step, "", std::nullopt, /*non_finite=*/step == 2);
    bucket.Push(1, step, Dense(First(1)));
  }
  bucket.state().Admit(1);
  for (uint64_t step = 1; step <= 4; ++step) {
    EXPECT_EQ(bucket.answer(bucket.Push(1, step, Dense(First(1)))).refused, step == 2) << "step " << step;
  }
}

TEST(ReplayTest, ALateStepOfARefusedRoundIsNotRefusedToItsSuccessor) {
  BucketDriver bucket(Remembering(2));
  Initialise(bucket, 2);
  bucket.Push(1, 1, "");
  bucket.Push(0, 1, "");
  bucket.state().Retire(1);
  bucket.Push(0, 2, "", std::nullopt, /*non_finite=*/true);
  const size_t late = bucket.Push(1, 2, Dense(First(4)));
  EXPECT_FALSE(bucket.answer(late).refused) << "it counts in the next round";
  bucket.Push(1, 3, "");
  bucket.Push(0, 3, "");
  std::string state;
  uint64_t position = 0;
  ASSERT_TRUE(bucket.state().Save(&state, &position).ok());
  BucketDriver restarted(Remembering(2));
  ASSERT_TRUE(restarted.state().Load(state).ok());
  for (BucketDriver* server : {&bucket, &restarted}) {
    EXPECT_FALSE(server->answer(server->Push(1, 2, Dense(First(4)))).refused);
    EXPECT_TRUE(server->answer(server->Push(0, 2, "", std::nullopt, true)).refused);
  }
}

TEST(ReplayTest, StepsThatItMissedAreMissedAgain) {
  BucketDriver bucket(Remembering(2));
  Initialise(bucket, 2);
  bucket.Push(1, 1, "");
  bucket.Push(0, 1, "");
  bucket.state().Retire(1);
  for (uint64_t step = 2; step <= 5; ++step) bucket.Push(0, step, Dense(First(1)));
  // It was away in step 2: its contribution is late, and it goes on at version 6.
  const size_t late = bucket.Push(1, 2, Dense(First(4)));
  ASSERT_EQ(bucket.answer(late).version, 6u);
  bucket.Push(1, 6, Dense(First(1)));
  bucket.Push(0, 6, Dense(First(1)));
  bucket.Push(1, 7, Dense(First(1)));
  bucket.Push(0, 7, Dense(First(1)));
  const std::vector<float> weights = bucket.weights();

  bucket.state().Admit(1);
  EXPECT_EQ(bucket.answer(bucket.Push(1, 1, "")).version, 2u);
  const size_t jump = bucket.Push(1, 2, Dense(First(4)));
  EXPECT_EQ(bucket.answer(jump).version, 6u);
  EXPECT_EQ(bucket.answer(jump).updates[0].view(), bucket.answer(late).updates[0].view());
  EXPECT_EQ(bucket.answer(bucket.Push(1, 6, Dense(First(1)))).version, 7u);
  // A step that it did not make then counts late, once.
  const size_t new_step = bucket.Push(1, 4, Dense(First(8)));
  EXPECT_EQ(bucket.answer(new_step).version, 8u);
  bucket.Push(1, 4, Dense(First(8)));
  EXPECT_EQ(bucket.weights(), weights);
  bucket.Push(0, 8, "");
  bucket.Push(1, 8, "");
  EXPECT_EQ(bucket.weights()[0], weights[0] - 4);
}

TEST(ReplayTest, AStepBeforeTheLogGetsTheNewestWeightsWhole) {
  BucketOptions options = DenseOptions(1);
  options.log_versions = 3;
  BucketDriver bucket(options);
  Initialise(bucket, 1);
  for (uint64_t step = 1; step <= 9; ++step) bucket.Push(0, step, Dense(First(1)));
  bucket.state().Admit(0);
  const size_t forgotten = bucket.Push(0, 6, Dense(First(1)));
  EXPECT_TRUE(bucket.answer(forgotten).replaces);
  EXPECT_EQ(bucket.answer(forgotten).version, 10u);
  const size_t known = bucket.Push(0, 7, Dense(First(1)));
  EXPECT_FALSE(bucket.answer(known).replaces);
  EXPECT_EQ(bucket.answer(known).version, 8u);
}

// Notes what is counted.
class CountingJournal final : public BucketJournal {
 public:
  uint64_t Counted(const Contribution& contribution) override {
    EXPECT_TRUE(counted_.emplace(contribution.rank, contribution.step).second)
        << "rank " << contribution.rank << " step " << contribution.step << " is counted twice";
    return 0;
  }
  uint64_t Admitted(uint32_t) override { return 0; }
  uint64_t Retired(uint32_t) override { return 0; }
  void WhenDurable(uint64_t, std::function<void(const absl::Status&)> then) override { then(absl::OkStatus()); }

  bool contains(uint32_t rank, uint64_t step) const { return counted_.contains({rank, step}); }

 private:
  std::set<std::pair<uint32_t, uint64_t>> counted_;
};

TEST(ReplayTest, WithProcessesThatComeAndGoEveryStepPushedCountsOnce) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 200; ++trial) {
    CountingJournal journal;
    BucketDriver bucket(Remembering(2));
    bucket.state().set_journal(&journal);
    Initialise(bucket, 2);
    uint64_t at = 1;  // rank 1's version
    for (int i = 0; i < 100; ++i) {
      const uint64_t version = bucket.state().version();
      switch (random() % 6) {
        case 0:
          bucket.state().Retire(1);
          break;
        case 1:  // a new process, from a checkpoint of any age or from a snapshot
          bucket.state().Admit(1);
          at = random() % 2 == 0 ? 1 + random() % version : version;
          break;
        case 2:
        case 3:
          bucket.Push(0, version, "");
          break;
        default:
          const size_t call = bucket.Push(1, at, Dense(First(1)));
          EXPECT_TRUE(journal.contains(1, at));
          if (bucket.answered(call)) at = bucket.answer(call).version;
      }
    }
  }
}

}  // namespace
}  // namespace cddp
