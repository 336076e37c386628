#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "common/compress/candidates.h"
#include "common/compress/select_largest.h"
#include "common/compress/threshold_search.h"
#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"
#include "tests/unit/codec/simd_targets.h"
#include "tests/unit/compress/reference.h"

namespace cddp {
namespace {

// Values of few magnitudes, so that ties abound, or of all magnitudes.
std::vector<float> Values(size_t size, int magnitudes, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) {
    value = magnitudes == 0
                ? normal(random)
                : static_cast<float>(random() % static_cast<uint32_t>(magnitudes)) * (random() % 2 == 0 ? 1.0f : -1.0f);
  }
  return values;
}

// The first k of the indices by falling magnitude.
std::vector<uint32_t> Largest(absl::Span<const float> values, size_t k) {
  std::vector<uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [values](uint32_t a, uint32_t b) { return KeyOf(values[a]) > KeyOf(values[b]); });
  order.resize(k);
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<uint32_t> Indices(const Candidates& candidates) {
  return {candidates.indices(), candidates.indices() + candidates.size()};
}

RC_GTEST_PROP(SelectionProperty, KeepsExactlyTheLargest, ()) {
  const auto size = *rc::gen::inRange<uint32_t>(1, 5000);
  const std::vector<float> values = Values(size, *rc::gen::element(0, 1, 2, 50), *rc::gen::arbitrary<uint32_t>());
  const auto k = *rc::gen::inRange<uint32_t>(1, size + 1);
  const std::vector<uint32_t> expected = Largest(values, k);
  ForEachSimdTarget([&] {
    Candidates candidates(size + 1024);
    RC_ASSERT(Collect(values, 0, 0, &candidates));
    RC_ASSERT(candidates.size() == size);
    LargestSelector selector;
    const uint32_t threshold = selector.Keep(k, 0, &candidates);
    RC_ASSERT(Indices(candidates) == expected);
    uint32_t least = kMagnitudeMask;
    for (size_t i = 0; i < k; ++i) {
      RC_ASSERT(candidates.values()[i] == values[expected[i]]);
      least = std::min(least, KeyOf(candidates.values()[i]));
    }
    RC_ASSERT(threshold == least);
  });
}

RC_GTEST_PROP(SelectionProperty, SearchCollectsTheLargestAndFits, ()) {
  const auto size = *rc::gen::inRange<uint32_t>(1, 20000);
  const std::vector<float> values = Values(size, *rc::gen::element(0, 1, 3, 1000), *rc::gen::arbitrary<uint32_t>());
  const auto k = *rc::gen::inRange<uint32_t>(1, size + 1);
  Candidates candidates(k + *rc::gen::element(0u, 1024u, 5000u));
  const BucketSlice all[] = {{0, size / 3}, {size / 3, size}};
  const uint32_t least_key = CollectLargest(values, all, k, &candidates);
  RC_ASSERT(candidates.size() >= k);
  RC_ASSERT(candidates.size() <= candidates.capacity());
  LargestSelector().Keep(k, least_key, &candidates);
  RC_ASSERT(Indices(candidates) == Largest(values, k));
}

TEST(CandidatesTest, CollectsWhatReachesTheKey) {
  const std::vector<float> input = Values(5000, 0, 1), before = Values(5000, 0, 2);
  const std::vector<float> sum = Sum(before, input);
  std::vector<uint32_t> expected;
  for (uint32_t i = 7; i < 4990; ++i) {
    if (std::fabs(sum[i]) >= 2) expected.push_back(i);
  }
  ForEachSimdTarget([&] {
    std::vector<float> residual = before;
    Candidates candidates(6000);
    PassSummary summary;
    CompensateAndCollect(absl::MakeConstSpan(input).subspan(7, 4983), absl::MakeSpan(residual), 7, KeyOf(2),
                         &candidates, &summary);
    EXPECT_EQ(Indices(candidates), expected);
    EXPECT_FALSE(summary.overflow);
    for (uint32_t i = 0; i < 5000; ++i) ASSERT_EQ(residual[i], i >= 7 && i < 4990 ? sum[i] : before[i]);
  });
}

TEST(CandidatesTest, OverflowStopsCollectingButNotCompensating) {
  const std::vector<float> ones(5000, 1);
  ForEachSimdTarget([&] {
    std::vector<float> residual = ones;
    Candidates candidates(2500);
    PassSummary summary;
    CompensateAndCollect(ones, absl::MakeSpan(residual), 0, KeyOf(2), &candidates, &summary);
    EXPECT_TRUE(summary.overflow);
    EXPECT_LE(candidates.size(), 2500u);
    EXPECT_EQ(residual, std::vector<float>(5000, 2));
    EXPECT_EQ(summary.largest_key, KeyOf(2));
    EXPECT_DOUBLE_EQ(summary.sum_sq, 20000);
    candidates.set_size(0);
    EXPECT_FALSE(Collect(absl::MakeConstSpan(residual).first(5000), 0, KeyOf(2), &candidates));
  });
}

TEST(CandidatesTest, SeesNonFiniteSums) {
  for (uint32_t at : {0u, 99u}) {
    ForEachSimdTarget([at] {
      std::vector<float> input(100, 3e38f), residual(100, -3e38f);
      residual[at] = 3e38f;
      Candidates candidates(2000);
      PassSummary summary;
      CompensateAndCollect(input, absl::MakeSpan(residual), 0, kNoCandidates, &candidates, &summary);
      EXPECT_EQ(summary.largest_key, kInfinityKey);
      EXPECT_EQ(candidates.size(), 0u);
    });
  }
}

TEST(EstimateLeastKeyTest, IsSomewhatLowForAnyDistribution) {
  constexpr size_t kSize = 1 << 20;
  const size_t k = kSize / 100;
  const std::vector<float> gaussian = Values(kSize, 0, 3);
  std::vector<float> layered = gaussian;  // most of what counts is in one layer
  for (size_t i = 0; i < kSize; ++i) layered[i] *= i / 50000 == 3 ? 30.0f : 0.1f;
  std::vector<float> heavy = gaussian;
  for (float& value : heavy) value = value * value * value * value;
  for (const std::vector<float>& values : {gaussian, layered, heavy}) {
    const uint32_t least_key = EstimateLeastKey(values, {}, k);
    const auto count = static_cast<size_t>(
        std::count_if(values.begin(), values.end(), [least_key](float value) { return KeyOf(value) >= least_key; }));
    EXPECT_GE(count, k);
    EXPECT_LE(count, 2 * k);
  }
  EXPECT_EQ(EstimateLeastKey(gaussian, {}, kSize), 0u);
}

}  // namespace
}  // namespace cddp
