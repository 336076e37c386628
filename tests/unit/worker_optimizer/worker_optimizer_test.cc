#include "worker/optimizer/worker_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace cddp {
namespace {

constexpr int64_t kElements = 200'000;  // several runs, and a part of one

ParameterLayout Layout() { return *ParameterLayout::Create({{"w", {400, 500}}}); }

std::vector<float> Noise(uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(kElements);
  for (float& value : values) value = normal(random);
  return values;
}

WorkerOptimizerOptions Options(OptimizerKind kind) {
  WorkerOptimizerOptions options;
  options.optimizer.kind = kind;
  options.optimizer.weight_decay = 0.01;
  return options;
}

void StepWhole(WorkerOptimizer* optimizer, const std::vector<float>& gradients, std::vector<float>* weights) {
  optimizer->Begin(/*skip=*/false);
  optimizer->Step(0, gradients, absl::MakeSpan(*weights), Along::kDifference);
}

class WorkerOptimizerTest : public ::testing::TestWithParam<OptimizerKind> {};

TEST_P(WorkerOptimizerTest, RunByRunIsTheSameAsTheWholeOptimizer) {
  std::vector<float> weights = Noise(1);
  const std::vector<float> initial = weights;
  std::vector<float> expected = weights;
  const std::unique_ptr<Optimizer> whole = Optimizer::Create(Options(GetParam()).optimizer, kElements);
  const auto optimizer = *WorkerOptimizer::Create(Options(GetParam()), Layout(), weights);
  for (uint32_t step = 0; step < 3; ++step) {
    const std::vector<float> gradients = Noise(10 + step);
    std::vector<float> change = gradients;
    whole->Step(absl::MakeSpan(change), expected, {});
    for (int64_t i = 0; i < kElements; ++i) expected[i] += change[i];

    optimizer->Begin(/*skip=*/false);
    uint64_t done = kElements;
    for (uint64_t ready : {199'999, 150'000, 150'000, 70'000, 65'536, 1, 0}) {
      const uint64_t now =
          optimizer->Step(ready, gradients, absl::MakeSpan(weights), step == 2 ? Along::kDifference : Along::kNothing);
      EXPECT_LE(now, done);
      EXPECT_GE(now, ready);
      done = now;
    }
    EXPECT_EQ(done, 0u);
    EXPECT_FALSE(optimizer->skipped());
  }
  EXPECT_EQ(weights, expected);
  for (int64_t i = 0; i < kElements; ++i) ASSERT_EQ(optimizer->difference()[i], initial[i] - weights[i]);
}

TEST_P(WorkerOptimizerTest, GoesOnFromItsState) {
  std::vector<float> weights = Noise(1);
  const auto first = *WorkerOptimizer::Create(Options(GetParam()), Layout(), weights);
  StepWhole(first.get(), Noise(10), &weights);
  std::vector<float> again = weights;
  const auto second = *WorkerOptimizer::Create(Options(GetParam()), Layout(), again);
  ASSERT_TRUE(second->SetState(first->State()).ok());
  StepWhole(first.get(), Noise(11), &weights);
  StepWhole(second.get(), Noise(11), &again);
  EXPECT_EQ(weights, again);

  EXPECT_TRUE(absl::IsInvalidArgument(second->SetState(first->State() + "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(second->SetState("")));
}

TEST_P(WorkerOptimizerTest, AWorkerThatComesLaterGoesOnWithTheSchedule) {
  WorkerOptimizerOptions options = Options(GetParam());
  options.optimizer.lr.schedule = LearningRateSchedule::kStep;
  options.optimizer.lr.decay_steps = 100;
  options.optimizer.lr.decay_factor = 0;
  std::vector<float> weights = Noise(1);
  const std::vector<float> before = weights;
  const auto late = *WorkerOptimizer::Create(options, Layout(), weights);
  late->SetStepsBefore(100);
  StepWhole(late.get(), Noise(10), &weights);
  EXPECT_EQ(weights, before) << "the rate has fallen to zero";
  const auto restored = *WorkerOptimizer::Create(options, Layout(), weights);
  ASSERT_TRUE(restored->SetState(late->State()).ok());
  StepWhole(restored.get(), Noise(11), &weights);
  EXPECT_EQ(weights, before);
}

TEST_P(WorkerOptimizerTest, WhatIsNotFiniteIsLeftOutAndNeverReachesWeightsOrState) {
  std::vector<float> weights = Noise(1);
  const auto optimizer = *WorkerOptimizer::Create(Options(GetParam()), Layout(), weights);
  StepWhole(optimizer.get(), Noise(10), &weights);
  const std::vector<float> before = weights;
  std::vector<float> gradients = Noise(11);
  gradients[70'000] = std::numeric_limits<float>::quiet_NaN();
  StepWhole(optimizer.get(), gradients, &weights);
  EXPECT_TRUE(optimizer->skipped());
  for (int64_t i = 0; i < 131'072; ++i) ASSERT_EQ(weights[i], before[i]) << "its run, and those before it";
  EXPECT_NE(weights[131'072], before[131'072]) << "the runs after it had made their step";
  StepWhole(optimizer.get(), Noise(12), &weights);
  EXPECT_FALSE(optimizer->skipped());
  for (float weight : weights) ASSERT_TRUE(std::isfinite(weight));
}

TEST_P(WorkerOptimizerTest, ALossThatIsNotFiniteSkipsTheWholeStep) {
  std::vector<float> weights = Noise(1);
  const std::vector<float> before = weights;
  const auto optimizer = *WorkerOptimizer::Create(Options(GetParam()), Layout(), weights);
  const std::string state = optimizer->State();
  optimizer->Begin(/*skip=*/true);
  EXPECT_EQ(optimizer->Step(0, Noise(10), absl::MakeSpan(weights), Along::kDifference), 0u);
  EXPECT_TRUE(optimizer->skipped());
  EXPECT_EQ(weights, before);
  EXPECT_EQ(optimizer->State(), state);
}

TEST_P(WorkerOptimizerTest, AnAnswerTakesThePlaceOfItsOwnMoveBeneathTheStepsMadeMeanwhile) {
  WorkerOptimizerOptions options = Options(GetParam());
  options.overlaps = true;
  std::vector<float> weights = Noise(1);
  const auto optimizer = *WorkerOptimizer::Create(options, Layout(), weights);
  const auto step = [&](uint32_t seed) {
    optimizer->Begin(/*skip=*/false);
    optimizer->Step(0, Noise(seed), absl::MakeSpan(weights), Along::kNothing);
  };
  step(10);
  ASSERT_TRUE(optimizer->NoteMoved(weights).ok());
  ASSERT_TRUE(optimizer->GoAhead(absl::MakeSpan(weights)).ok());
  const std::vector<float> ahead = weights;
  step(11);
  const std::vector<float> before = weights;
  const std::vector<float> published = Noise(2);  // all workers' moves
  ASSERT_TRUE(optimizer->SetReplica(published).ok());
  ASSERT_TRUE(optimizer->TakeAnswer(absl::MakeSpan(weights)).ok());
  for (int64_t i = 0; i < kElements; ++i) ASSERT_EQ(weights[i], published[i] + (before[i] - ahead[i])) << i;
  ASSERT_TRUE(optimizer->NoteMoved(weights).ok());
  for (int64_t i = 0; i < kElements; ++i) ASSERT_EQ(optimizer->difference()[i], published[i] - weights[i]) << i;
}

// With one worker, whose exchanges bring what it pushed in the round before, in every other round between its two
// steps, nothing differs from steps that never stopped, but for rounding.
TEST_P(WorkerOptimizerTest, AheadOfItsOwnExchangesItIsWhereItsStepsHaveLed) {
  WorkerOptimizerOptions options = Options(GetParam());
  options.overlaps = true;
  std::vector<float> weights = Noise(1);
  std::vector<float> alone = weights;
  const auto optimizer = *WorkerOptimizer::Create(options, Layout(), weights);
  const auto undisturbed = *WorkerOptimizer::Create(Options(GetParam()), Layout(), alone);
  const auto step = [&](uint32_t seed) {
    const std::vector<float> gradients = Noise(seed);
    optimizer->Begin(/*skip=*/false);
    optimizer->Step(0, gradients, absl::MakeSpan(weights), Along::kNothing);
    StepWhole(undisturbed.get(), gradients, &alone);
  };
  const auto answer = [&] {  // the exchange under way is over: the servers took the pushed difference off
    for (int64_t i = 0; i < kElements; ++i) optimizer->replica()[i] -= optimizer->difference()[i];
  };
  for (uint32_t round = 0; round < 4; ++round) {
    step(10 + 2 * round);
    if (round % 2 == 1) {
      answer();
      ASSERT_TRUE(optimizer->TakeAnswer(absl::MakeSpan(weights)).ok());
    }
    step(11 + 2 * round);
    if (round == 2) answer();
    const std::vector<float> published(optimizer->replica().begin(), optimizer->replica().end());
    const std::vector<float> moved = weights;
    ASSERT_TRUE(optimizer->NoteMoved(weights).ok());
    EXPECT_EQ(weights, moved);
    ASSERT_TRUE(optimizer->GoAhead(absl::MakeSpan(weights)).ok());
    for (int64_t i = 0; i < kElements; ++i) {
      ASSERT_EQ(weights[i], published[i] - optimizer->difference()[i]);
      ASSERT_NEAR(weights[i], alone[i], 1e-4) << "round " << round << ", element " << i;
    }
  }
  weights[7] = std::numeric_limits<float>::infinity();
  ASSERT_TRUE(optimizer->NoteMoved(weights).ok());
  EXPECT_FALSE(std::isfinite(optimizer->difference()[7])) << "so that the exchange is refused";
  ASSERT_TRUE(optimizer->GoAhead(absl::MakeSpan(weights)).ok());
  EXPECT_EQ(weights[7], optimizer->replica()[7]);
  ASSERT_TRUE(optimizer->TakePublished(absl::MakeSpan(weights)).ok());
  ASSERT_TRUE(optimizer->NoteMoved(weights).ok());
  for (const float value : optimizer->difference()) ASSERT_EQ(value, 0) << "the next steps begin at what is published";
}

// What is done along with a step, from any of its calls on, has the bits of the passes over whole arrays after it.
TEST_P(WorkerOptimizerTest, PassesAlongWithAStepAreTheSameAsAfterIt) {
  WorkerOptimizerOptions options = Options(GetParam());
  options.overlaps = true;
  for (const size_t from : {0, 2, 5}) {
    std::vector<float> weights = Noise(1), expected = weights;
    const auto along = *WorkerOptimizer::Create(options, Layout(), weights);
    const auto after = *WorkerOptimizer::Create(options, Layout(), weights);
    const auto step = [&](uint32_t seed, Along what) {
      std::vector<float> gradients = Noise(seed);
      gradients[70'000] = seed == 11 ? std::numeric_limits<float>::quiet_NaN() : 0;  // leaves out two runs of four
      along->Begin(/*skip=*/false);
      after->Begin(/*skip=*/false);
      const std::vector<uint64_t> ready = {190'000, 131'072, 131'071, 65'536, 0};
      for (size_t i = 0; i < ready.size(); ++i) {
        along->Step(ready[i], gradients, absl::MakeSpan(weights), i >= from ? what : Along::kNothing);
      }
      after->Step(0, gradients, absl::MakeSpan(expected), Along::kNothing);
      const bool differs = what == Along::kAhead ? along->difference() != after->difference() : weights != expected;
      EXPECT_EQ(differs, from < ready.size()) << "from call " << from;
    };
    for (uint32_t round = 0; round < 2; ++round) {
      step(10 + 2 * round, Along::kAhead);
      for (const auto& [optimizer, own] : {std::pair(along.get(), &weights), {after.get(), &expected}}) {
        ASSERT_TRUE(optimizer->NoteMoved(*own).ok());
        ASSERT_TRUE(optimizer->GoAhead(absl::MakeSpan(*own)).ok());
      }
      ASSERT_EQ(weights, expected) << "ahead, from call " << from;
      ASSERT_EQ(along->difference(), after->difference());
      ASSERT_TRUE(along->SetReplica(Noise(20 + round)).ok());
      ASSERT_TRUE(after->SetReplica(Noise(20 + round)).ok());
      step(11 + 2 * round, Along::kAnswer);
      ASSERT_TRUE(along->TakeAnswer(absl::MakeSpan(weights)).ok());
      ASSERT_TRUE(after->TakeAnswer(absl::MakeSpan(expected)).ok());
      ASSERT_EQ(weights, expected) << "with the answer, from call " << from;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, WorkerOptimizerTest, ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdamW),
                         [](const auto& info) { return AbslUnparseFlag(info.param); });

TEST(WorkerOptimizerClipTest, TheWholeGradientIsClippedBeforeTheStep) {
  WorkerOptimizerOptions options;
  options.optimizer.kind = OptimizerKind::kSgd;
  options.optimizer.momentum = 0;
  options.optimizer.lr.base = 1;
  options.clip_norm = 3;
  std::vector<float> weights(kElements);
  const auto optimizer = *WorkerOptimizer::Create(options, Layout(), weights);
  optimizer->Begin(/*skip=*/false);
  EXPECT_EQ(optimizer->Step(1, Noise(1), absl::MakeSpan(weights), Along::kDifference), static_cast<uint64_t>(kElements))
      << "the norm is known when all is complete";
  EXPECT_EQ(optimizer->Step(0, Noise(1), absl::MakeSpan(weights), Along::kDifference), 0u);
  double norm_sq = 0;
  for (float weight : weights) norm_sq += double{weight} * weight;
  EXPECT_NEAR(std::sqrt(norm_sq), 3, 1e-4);

  const std::vector<float> before = weights;
  std::vector<float> gradients = Noise(2);
  gradients[199'999] = std::numeric_limits<float>::infinity();
  StepWhole(optimizer.get(), gradients, &weights);
  EXPECT_TRUE(optimizer->skipped());
  EXPECT_EQ(weights, before) << "no part of it was stepped";
}

TEST(WorkerOptimizerClipTest, RefusesWhatMakesNoSense) {
  WorkerOptimizerOptions options;
  options.clip_norm = -1;
  const std::vector<float> weights(kElements);
  EXPECT_THAT(std::string(WorkerOptimizer::Create(options, Layout(), weights).status().message()),
              ::testing::HasSubstr("--clip_norm=-1"));
}

}  // namespace
}  // namespace cddp
