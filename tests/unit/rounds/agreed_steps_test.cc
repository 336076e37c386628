#include "worker/rounds/agreed_steps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "common/layout/agreed_tensor.h"
#include "worker/rounds/steps_control.h"

namespace cddp {
namespace {

// What the servers make of the workers' pushes, in float as they do.
std::vector<float> Average(const std::vector<float>& published, const std::vector<AgreedSteps>& pushed,
                           size_t workers) {
  std::vector<float> result = published;
  for (size_t i = 0; i < kAgreedElements; ++i) {
    float sum = 0;
    for (const AgreedSteps& push : pushed) sum += published[i] - WriteSteps(push)[i];
    result[i] -= sum * (1.0f / static_cast<float>(workers));
  }
  return result;
}

TEST(AgreedStepsTest, AllComeToTheSameWithAnyNumberOfWorkers) {
  constexpr uint64_t kEpoch = 103;
  for (const size_t workers : {1, 2, 3, 5, 7, 64}) {
    std::vector<float> published = WriteSteps(FirstSteps(4));
    uint64_t position = 0;
    uint32_t steps = 4, next = 4;
    for (uint32_t round = 0; round < 3000; ++round) {
      const AgreedSteps now = ReadSteps(published);
      ASSERT_EQ(now.position, position) << workers << " workers, round " << round;
      ASSERT_EQ(now.steps, steps);
      const uint64_t made = StepsOfRound(now, kEpoch);
      ASSERT_LE(position % kEpoch + made, kEpoch);
      const uint32_t wish = round % 50 < 25 ? 32 : 4;
      published =
          Average(published, std::vector(workers, StepsAfter(now, StepsOfRound(now, kEpoch), now.wished_steps(), wish)),
                  workers);
      position += made;
      steps = next;
      next = wish;
    }
  }
}

TEST(AgreedStepsTest, WishesAreAveragedByTheirLogarithms) {
  const std::vector<float> published = WriteSteps(FirstSteps(4));
  const AgreedSteps now = ReadSteps(published);
  const auto wished = [&](const std::vector<uint32_t>& wishes) {
    std::vector<AgreedSteps> pushed;
    for (const uint32_t wish : wishes) pushed.push_back(StepsAfter(now, StepsOfRound(now, 100), 4, wish));
    return ReadSteps(Average(published, pushed, wishes.size())).wished_steps();
  };
  EXPECT_EQ(wished({4, 4, 4, 32}), 8u);
  EXPECT_EQ(wished({4, 4, 4, 8}), 4u);
  EXPECT_EQ(wished({8, 8, 16}), 8u);
  EXPECT_EQ(wished({32, 32, 16}), 32u);
}

// A worker that rolls a bucket forward after a crash contributes nothing.
TEST(AgreedStepsTest, WhereSomeContributedNothingTheRestGoesOn) {
  const std::vector<float> published = WriteSteps({96, 8, 3});
  const AgreedSteps pushed = StepsAfter(ReadSteps(published), 8, 32, 32);
  EXPECT_EQ(pushed.position, 104u);
  const AgreedSteps after = ReadSteps(Average(published, {pushed}, /*workers=*/3));
  EXPECT_EQ(after.position, 99u) << "the nearest to 98.67";
  EXPECT_EQ(after.steps, 16u);
}

TEST(AgreedStepsTest, AnyElementsGiveStepsThatCanBeMade) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), -1e30f, 1e30f, -0.4f, 2.5f}) {
    const AgreedSteps agreed = ReadSteps(std::vector<float>(kAgreedElements, value));
    EXPECT_LE(agreed.position, kMostAgreedPosition);
    for (const uint32_t steps : {agreed.steps, agreed.wished_steps()}) {
      EXPECT_GE(steps, kFewestLocalSteps);
      EXPECT_LE(steps, kMostLocalSteps);
    }
    EXPECT_GE(StepsOfRound(agreed, 10), 1u);
  }
}

TEST(AgreedStepsTest, PositionsAreExactUpToTheMost) {
  const std::vector<float> published = WriteSteps({kMostAgreedPosition - 4, 4, 2});
  const AgreedSteps pushed = StepsAfter(ReadSteps(published), 4, 4, 4);
  EXPECT_EQ(ReadSteps(Average(published, {pushed, pushed, pushed}, 3)).position, kMostAgreedPosition);
}

}  // namespace
}  // namespace cddp
