#include "common/compress/bucket_compressor.h"

#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"
#include "gtest/gtest.h"
#include "tests/unit/codec/random_updates.h"
#include "tests/unit/codec/simd_targets.h"
#include "tests/unit/compress/reference.h"

namespace cddp {
namespace {

constexpr float kDenormal = std::numeric_limits<float>::denorm_min();

CompressorOptions Exact(double ratio) {
  CompressorOptions options;
  options.ratio = ratio;
  options.value_encoding = ValueEncoding::kFp32;
  return options;
}

std::unique_ptr<BucketCompressor> Compressor(uint32_t length, const CompressorOptions& options) {
  absl::StatusOr<std::unique_ptr<BucketCompressor>> compressor = BucketCompressor::Create(length, options);
  EXPECT_TRUE(compressor.ok()) << compressor.status();
  return *std::move(compressor);
}

// Compresses once and compares with the reference: what is sent, what stays, what is reported.
void ExpectTopK(BucketCompressor& compressor, const CompressorOptions& options, absl::Span<const float> input,
                std::vector<float>* residual) {
  const std::vector<float> compensated = Sum(*residual, input);
  const std::vector<uint32_t> expected = ReferenceTopK(compensated, options);
  std::string update;
  const absl::StatusOr<CompressResult> result = compressor.Compress(input, absl::MakeSpan(*residual), &update);
  ASSERT_TRUE(result.ok()) << result.status();
  const absl::StatusOr<DecodedUpdate> sent = DecodeUpdate(update, static_cast<uint32_t>(input.size()));
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_EQ(sent->indices, expected);
  EXPECT_EQ(result->selected, expected.size());
  std::vector<float> left = compensated;
  for (size_t i = 0; i < expected.size(); ++i) left[expected[i]] -= sent->values[i];
  ASSERT_EQ(std::memcmp(left.data(), residual->data(), left.size() * sizeof(float)), 0);
  double residual_sq = 0;
  for (float value : left) residual_sq += static_cast<double>(value) * value;
  double compensated_sq = 0;
  for (float value : compensated) compensated_sq += static_cast<double>(value) * value;
  EXPECT_FALSE(std::isnan(result->residual_sq));
  if (compensated_sq > 1e-30 && compensated_sq < 1e37) {  // the estimate is made of float squares
    EXPECT_NEAR(result->residual_sq, residual_sq, 1e-4 * compensated_sq);
  }
}

void ExpectTopK(const CompressorOptions& options, const std::vector<float>& input, std::vector<float> residual = {}) {
  residual.resize(input.size());
  const auto compressor = Compressor(static_cast<uint32_t>(input.size()), options);
  ExpectTopK(*compressor, options, input, &residual);
}

TEST(SelectedCountTest, NearestAndAtLeastOne) {
  EXPECT_EQ(SelectedCount(1000, 0.01), 10u);
  EXPECT_EQ(SelectedCount(1 << 20, 0.01), 10486u);
  EXPECT_EQ(SelectedCount(1, 0.01), 1u);
  EXPECT_EQ(SelectedCount(149, 0.01), 1u);
  EXPECT_EQ(SelectedCount(151, 0.01), 2u);
  EXPECT_EQ(SelectedCount(7, 1), 7u);
}

TEST(BucketCompressorTest, RefusesBadOptions) {
  const auto code = [](uint32_t length, const CompressorOptions& options) {
    return BucketCompressor::Create(length, options).status().code();
  };
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(100, Exact(0)), kBad);
  EXPECT_EQ(code(100, Exact(-0.1)), kBad);
  EXPECT_EQ(code(100, Exact(1.1)), kBad);
  EXPECT_EQ(code(100, Exact(std::nan(""))), kBad);
  EXPECT_EQ(code(0, Exact(0.1)), kBad);
  EXPECT_EQ(code(kMaxBucketLength + 1, Exact(0.1)), kBad);
  for (const std::vector<BucketSlice>& slices :
       std::vector<std::vector<BucketSlice>>{{{0, 101}}, {{5, 4}}, {{10, 20}, {15, 30}}, {{10, 20}, {0, 5}}}) {
    CompressorOptions options = Exact(0.1);
    options.always_sent = slices;
    EXPECT_EQ(code(100, options), kBad);
  }
  CompressorOptions options = Exact(0.1);
  options.index_encoding = IndexEncoding::kDense;
  EXPECT_EQ(code(100, options), kBad);
}

TEST(BucketCompressorTest, RefusesBuffersOfAnotherLength) {
  const auto compressor = Compressor(10, Exact(0.5));
  std::vector<float> input(10), residual(9);
  std::string update;
  EXPECT_EQ(compressor->Compress(input, absl::MakeSpan(residual), &update).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(BucketCompressorTest, SmallCases) {
  ExpectTopK(Exact(0.5), {3});
  ExpectTopK(Exact(1), {3, -1, 2});
  ExpectTopK(Exact(0.01), {0, 0, 0, 0});
  ExpectTopK(Exact(0.5), {1, -1, 1, -1, 1, -1});         // ties: the first three
  ExpectTopK(Exact(0.5), {0, -0.0f, 0, -0.0f});          // zeros of both signs are equal
  ExpectTopK(Exact(0.5), {1, 2, 3, 4}, {0, 0, -3, -4});  // the residual counts
  ExpectTopK(Exact(0.25), {kDenormal, -2 * kDenormal, 0, kDenormal});
}

TEST(BucketCompressorTest, AnyRatioAndLength) {
  for (uint32_t length : {2u, 15u, 16u, 17u, 1000u, 1024u, 1025u, 40000u}) {
    for (double ratio : {1e-9, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999999, 1.0}) {
      ExpectTopK(Exact(ratio), RandomValues(length, false, length), RandomValues(length, false, length + 1));
    }
  }
}

TEST(BucketCompressorTest, AnyDistribution) {
  constexpr uint32_t kLength = 100000;
  const std::vector<float> gaussian = RandomValues(kLength, false, 1);
  std::vector<float> values = gaussian;
  for (float& value : values) value = std::exp(5 * value);
  ExpectTopK(Exact(0.01), values);  // heavy tails
  for (float& value : values) value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) >> 9);
  ExpectTopK(Exact(0.01), values);  // denormals
  for (uint32_t i = 0; i < kLength; ++i) values[i] = gaussian[i] > 3 ? gaussian[i] : 0;
  ExpectTopK(Exact(0.01), values);  // fewer than k are not zero
  for (uint32_t i = 0; i < kLength; ++i) values[i] = static_cast<float>(i);
  ExpectTopK(Exact(0.01), values);                          // sorted
  ExpectTopK(Exact(0.1), std::vector<float>(kLength, -7));  // all equal
  for (uint32_t i = 0; i < kLength; ++i) values[i] = i % 3 == 0 ? 2.0f : 1.0f;
  ExpectTopK(Exact(0.01), values);  // a tie far larger than k
  ExpectTopK(Exact(0.5), values);
  ExpectTopK(Exact(0.01), RandomValues(kLength, true, 2));
}

TEST(BucketCompressorTest, AlwaysSentSlices) {
  const std::vector<float> input = RandomValues(20000, false, 3);
  for (const std::vector<BucketSlice>& slices :
       std::vector<std::vector<BucketSlice>>{{{0, 1}},
                                             {{19999, 20000}},
                                             {{0, 100}, {100, 164}, {5000, 5064}, {19990, 20000}},
                                             {{0, 20000}},
                                             {{0, 19999}},
                                             {{7, 7}},
                                             {{1, 20000}}}) {
    CompressorOptions options = Exact(0.01);
    options.always_sent = slices;
    ExpectTopK(options, input);
    options.ratio = 1;
    ExpectTopK(options, input);
  }
}

TEST(BucketCompressorTest, NonFiniteInputIsRefusedAndChangesNothing) {
  for (float bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
    for (uint32_t at : {0u, 4321u, 9999u}) {
      const auto compressor = Compressor(10000, Exact(0.01));
      std::vector<float> residual = RandomValues(10000, true, at), before = residual;
      std::vector<float> input = RandomValues(10000, false, at);
      input[at] = bad;
      std::string update;
      const absl::Status status = compressor->Compress(input, absl::MakeSpan(residual), &update).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(std::memcmp(residual.data(), before.data(), before.size() * sizeof(float)), 0);
      input[at] = 1;
      residual.assign(10000, 0);
      ExpectTopK(*compressor, Exact(0.01), input, &residual);
    }
  }
}

TEST(BucketCompressorTest, OverflowingSumsSaturate) {
  std::vector<float> input(1000, 1), residual(1000, 1);
  for (uint32_t i : {3u, 500u, 999u}) input[i] = residual[i] = FLT_MAX;
  input[3] = residual[3] = -FLT_MAX;
  const auto compressor = Compressor(1000, Exact(0.002));
  std::string update;
  ASSERT_TRUE(compressor->Compress(input, absl::MakeSpan(residual), &update).ok());
  const absl::StatusOr<DecodedUpdate> sent = DecodeUpdate(update, 1000);
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->indices, (std::vector<uint32_t>{3, 500}));
  EXPECT_EQ(sent->values, (std::vector<float>{-FLT_MAX, FLT_MAX}));
  EXPECT_EQ(residual[999], FLT_MAX);
  EXPECT_EQ(residual[0], 2);
}

TEST(BucketCompressorTest, NaNInTheResidualIsAnErrorOfItsOwn) {
  std::vector<float> input(100, 1), residual(100, 1);
  residual[50] = std::nanf("");
  std::string update;
  EXPECT_EQ(Compressor(100, Exact(0.1))->Compress(input, absl::MakeSpan(residual), &update).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// Inputs whose scale jumps up and down and that vanish at times, so that the carried threshold is often wrong.
std::vector<float> InputOfStep(uint32_t length, int step) {
  constexpr float kScales[] = {1, 1.01f, 1, 100, 100, 1e-6f, 1, 0, 0, 3, 1e-42f, 1e-42f, 1e30f, 1};
  std::vector<float> input = RandomValues(length, false, static_cast<uint32_t>(step));
  for (float& value : input) value *= kScales[static_cast<size_t>(step) % std::size(kScales)];
  return input;
}

TEST(BucketCompressorTest, ResultDoesNotDependOnTheCarriedThreshold) {
  constexpr uint32_t kLength = 50000;
  CompressorOptions options = Exact(0.01);
  options.always_sent = {{100, 200}};
  const auto carrying = Compressor(kLength, options);
  std::vector<float> residual(kLength);
  for (int step = 0; step < 28; ++step) {
    SCOPED_TRACE(step);
    const std::vector<float> input = InputOfStep(kLength, step);
    if (step % 9 == 8) std::fill(residual.begin(), residual.end(), 0);
    std::vector<float> fresh_residual = residual;
    std::string fresh_update, update;
    ASSERT_TRUE(Compressor(kLength, options)->Compress(input, absl::MakeSpan(fresh_residual), &fresh_update).ok());
    std::vector<float> checked = residual;
    ExpectTopK(*carrying, options, input, &checked);  // carries a threshold of its own from here
    ASSERT_TRUE(carrying->Compress(input, absl::MakeSpan(residual), &update).ok());
    EXPECT_TRUE(update == fresh_update);
    EXPECT_EQ(std::memcmp(residual.data(), fresh_residual.data(), kLength * sizeof(float)), 0);
  }
}

TEST(BucketCompressorTest, ThresholdSelectionStaysNearTheCount) {
  constexpr uint32_t kLength = 50000;
  CompressorOptions options = Exact(0.01);
  options.selection = Selection::kThreshold;
  options.always_sent = {{100, 200}};
  const uint32_t k = SelectedCount(kLength - 100, 0.01);
  const auto compressor = Compressor(kLength, options);
  std::vector<float> residual(kLength);
  bool other_than_k = false;
  for (uint32_t step = 0; step < 30; ++step) {
    SCOPED_TRACE(step);
    std::vector<float> input = RandomValues(kLength, false, step);
    if (step == 20) {
      for (float& value : input) value *= 1000;
    }
    const std::vector<float> compensated = Sum(residual, input);
    std::string update;
    const absl::StatusOr<CompressResult> result = compressor->Compress(input, absl::MakeSpan(residual), &update);
    ASSERT_TRUE(result.ok());
    EXPECT_GE(result->selected, 100 + k / 2);
    EXPECT_LE(result->selected, 100 + 2 * k);
    other_than_k |= result->selected != 100 + k;
    const absl::StatusOr<DecodedUpdate> sent = DecodeUpdate(update, kLength);
    ASSERT_TRUE(sent.ok());
    EXPECT_EQ(sent->indices.size(), result->selected);
    // Nothing left is larger than what the threshold says, and what was sent is not smaller.
    std::vector<bool> is_sent(kLength);
    for (uint32_t index : sent->indices) is_sent[index] = true;
    for (uint32_t i = 0; i < kLength; ++i) {
      if (i >= 100 && i < 200) continue;
      EXPECT_TRUE(is_sent[i] ? std::fabs(compensated[i]) >= result->threshold
                             : std::fabs(compensated[i]) <= result->threshold);
    }
  }
  EXPECT_TRUE(other_than_k);
}

TEST(BucketCompressorTest, BytesAreTheSameOnEverySimdTarget) {
  constexpr uint32_t kLength = 30011;
  std::vector<std::string> first;
  ForEachSimdTarget([&first] {
    std::vector<std::string> updates;
    for (ValueEncoding encoding : kAllValueEncodings) {
      CompressorOptions options = Exact(0.02);
      options.value_encoding = encoding;
      const auto compressor = Compressor(kLength, options);
      std::vector<float> residual(kLength);
      for (int step = 0; step < 5; ++step) {
        updates.emplace_back();
        ASSERT_TRUE(compressor->Compress(InputOfStep(kLength, step), absl::MakeSpan(residual), &updates.back()).ok());
      }
    }
    if (first.empty()) first = updates;
    EXPECT_TRUE(updates == first);
  });
}

TEST(BucketCompressorTest, TwentyFiveMillionElements) {
  constexpr uint32_t kLength = 1 << 20;
  constexpr uint32_t kTotal = 25'000'000;
  for (uint32_t begin = 0; begin < kTotal; begin += kLength) {
    const uint32_t length = std::min(kLength, kTotal - begin);
    ExpectTopK(Exact(0.01), RandomValues(length, false, begin), std::vector<float>(length, 0.5f));
  }
}

TEST(BucketCompressorTest, AnInputMadeInPiecesGivesTheSameBytes) {
  constexpr uint32_t kLength = 2 * BucketCompressor::kInputPiece + 77;
  for (double ratio : {0.001, 0.01, 1.0}) {
    for (Selection selection : {Selection::kTopK, Selection::kThreshold}) {
      CompressorOptions options;
      options.ratio = ratio;
      options.selection = selection;
      if (ratio < 1)
        options.always_sent = {{3, 5}, {BucketCompressor::kInputPiece - 1, BucketCompressor::kInputPiece + 9}};
      const auto whole = Compressor(kLength, options), pieces = Compressor(kLength, options);
      std::vector<float> residual(kLength), residual_in_pieces(kLength);
      for (uint32_t step = 0; step < 5; ++step) {
        // The carried threshold fails in step 3.
        std::vector<float> input = RandomValues(kLength, false, step);
        if (step == 3) residual = residual_in_pieces = std::vector<float>(kLength);
        std::string update, in_pieces;
        const auto expected = whole->Compress(input, absl::MakeSpan(residual), &update);
        uint32_t next = 0;
        const auto result = pieces->CompressProduced(
            [&](uint32_t begin, uint32_t end) {
              EXPECT_EQ(begin, next);
              next = end;
              return absl::MakeConstSpan(input).subspan(begin, end - begin);
            },
            absl::MakeSpan(residual_in_pieces), &in_pieces);
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(next, kLength);
        ASSERT_EQ(update, in_pieces);
        ASSERT_EQ(residual, residual_in_pieces);
        EXPECT_EQ(result->selected, expected->selected);
      }
    }
  }
}

TEST(BucketCompressorTest, AnInputMadeInPiecesMustBeFinite) {
  const auto compressor = Compressor(100, Exact(0.1));
  std::vector<float> input(100, 1), residual(100);
  input[99] = std::numeric_limits<float>::infinity();
  std::string update;
  const auto result = compressor->CompressProduced([&](uint32_t, uint32_t) { return absl::MakeConstSpan(input); },
                                                   absl::MakeSpan(residual), &update);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace cddp
