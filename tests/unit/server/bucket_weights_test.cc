#include "server/bucket_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"
#include "tests/unit/codec/random_updates.h"

namespace cddp {
namespace {

// Several pieces, the last of them short.
constexpr uint32_t kLength = 3 * BucketCompressor::kInputPiece + 1001;

std::string Sparse(uint32_t seed) {
  const std::vector<uint32_t> indices = RandomIndices(kLength, 0.05, false, seed);
  std::vector<float> values = RandomValues(indices.size(), false, seed);
  std::string bytes;
  EncodeSparse(indices, absl::MakeSpan(values), kLength, IndexEncoding::kGap8, ValueEncoding::kFp16, &bytes);
  return bytes;
}

BucketWeights::Round MakeRound(const std::vector<std::string>& updates, float scale) {
  BucketWeights::Round round;
  for (const std::string& update : updates) round.contributions.push_back(*CheckedUpdate::Check(update, kLength));
  round.scale = scale;
  return round;
}

// The residual of a bucket.
std::vector<float> ResidualOf(const BucketWeights& weights) {
  std::string bytes;
  ByteWriter to(&bytes);
  weights.Save(to);
  std::vector<float> published(kLength), residual(kLength);
  ByteReader from(bytes);
  from.GetFloats(absl::MakeSpan(published));
  from.GetFloats(absl::MakeSpan(residual));
  EXPECT_TRUE(from.ok());
  return residual;
}

// The same round without pieces, in as many passes as it has parts.
class Plain {
 public:
  Plain(const OptimizerOptions& optimizer, const CompressorOptions& publish)
      : published_(kLength),
        residual_(kLength),
        optimizer_(Optimizer::Create(optimizer, kLength)),
        publisher_(*BucketCompressor::Create(kLength, publish)) {}

  void Initialize(const std::string& update) { ASSERT_TRUE(AddUpdate(update, absl::MakeSpan(published_)).ok()); }

  void Step(const std::vector<std::string>& updates, const std::vector<float>& carried, float scale,
            std::string* update) {
    std::vector<float> sum = carried.empty() ? std::vector<float>(kLength) : carried;
    for (const std::string& bytes : updates) ASSERT_TRUE(AddUpdate(bytes, absl::MakeSpan(sum)).ok());
    for (float& value : sum) value *= scale;
    optimizer_->Step(absl::MakeSpan(sum), published_, residual_);
    ASSERT_TRUE(publisher_->Compress(sum, absl::MakeSpan(residual_), update).ok());
    ASSERT_TRUE(AddUpdate(*update, absl::MakeSpan(published_)).ok());
  }

  const std::vector<float>& published() const { return published_; }

 private:
  std::vector<float> published_;
  std::vector<float> residual_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<BucketCompressor> publisher_;
};

TEST(BucketWeightsTest, PiecesGiveTheBitsOfTheWhole) {
  for (OptimizerKind kind : {OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW}) {
    for (double ratio : {0.01, 1.0}) {
      OptimizerOptions optimizer;
      optimizer.kind = kind;
      optimizer.nesterov = ratio == 1;
      optimizer.weight_decay = 0.01;
      CompressorOptions publish;
      publish.ratio = ratio;
      if (ratio < 1)
        publish.always_sent = {{100, 200}, {BucketCompressor::kInputPiece - 7, BucketCompressor::kInputPiece + 7000}};
      const auto weights = *BucketWeights::Create(kLength, optimizer, publish);
      Plain plain(optimizer, publish);

      const std::string initial = Sparse(7);
      std::string update, expected;
      weights->Initialize(MakeRound({initial}, 0.5f), &update);
      plain.Initialize(initial);
      for (uint32_t step = 0; step < 6; ++step) {
        const std::vector<std::string> updates = {Sparse(10 * step), Sparse(10 * step + 1), Sparse(10 * step + 2)};
        const std::vector<float> carried = step == 3 ? RandomValues(kLength, false, 5) : std::vector<float>{};
        BucketWeights::Round round = MakeRound(updates, 1.0f / 3);
        round.carried = carried;
        ASSERT_TRUE(weights->Step(round, &update).ok());
        plain.Step(updates, carried, 1.0f / 3, &expected);
        ASSERT_EQ(update, expected) << "step " << step;
        ASSERT_EQ(std::memcmp(weights->published().data(), plain.published().data(), kLength * sizeof(float)), 0);
      }
    }
  }
}

// Where the server averages, all that was pushed is told at once: nothing but rounding waits.
TEST(BucketWeightsTest, AnAverageIsPublishedWhole) {
  OptimizerOptions average;
  average.lr.base = 1;
  average.momentum = 0;
  for (ValueEncoding values : {ValueEncoding::kFp32, ValueEncoding::kInt4}) {
    CompressorOptions publish;
    publish.ratio = kPublishAllPushed;
    publish.value_encoding = values;
    const auto weights = *BucketWeights::Create(kLength, average, publish);
    std::string update;
    weights->Initialize(MakeRound({Sparse(7)}, 1), &update);
    std::vector<bool> ever_touched(kLength);
    for (uint32_t step = 0; step < 5; ++step) {
      const std::vector<float> before(weights->published().begin(), weights->published().end());
      const std::vector<float> residual_before = ResidualOf(*weights);
      std::vector<std::string> updates = {Sparse(10 * step), Sparse(10 * step + 1), Sparse(10 * step + 2)};
      ASSERT_TRUE(weights->Step(MakeRound(updates, 1.0f / 3), &update).ok());
      std::vector<float> change(kLength);
      std::vector<bool> touched(kLength);  // two contributions may cancel out
      for (const std::string& bytes : updates) {
        ASSERT_TRUE(AddUpdate(bytes, absl::MakeSpan(change)).ok());
      }
      for (uint32_t i = 0; i < kLength; ++i) {
        touched[i] = change[i] != 0;
        if (touched[i]) ever_touched[i] = true;
      }
      const std::vector<float> residual = ResidualOf(*weights);
      for (uint32_t i = 0; i < kLength; ++i) {
        if (!touched[i]) {
          ASSERT_EQ(weights->published()[i], before[i]);
          ASSERT_EQ(residual[i], residual_before[i]);
        }
        if (!ever_touched[i]) {
          ASSERT_EQ(residual[i], 0);
        }
        // Values of one block of 256 share a scale: rounding is a fraction of the largest.
        ASSERT_LE(std::fabs(residual[i]), values == ValueEncoding::kFp32 ? 0 : 0.5) << i;
        const double truth = static_cast<double>(before[i]) + residual_before[i] - change[i] / 3.0;
        ASSERT_NEAR(static_cast<double>(weights->published()[i]) + residual[i], truth, 1e-5);
      }
      const std::vector<uint32_t> sent = DecodeUpdate(update, kLength)->indices;
      EXPECT_EQ(sent.size(), static_cast<size_t>(std::count(touched.begin(), touched.end(), true)));
    }
  }
}

// With momentum the whole bucket moves: as many elements are told as were pushed, the furthest first.
TEST(BucketWeightsTest, WithMomentumAsManyArePublishedAsWerePushed) {
  CompressorOptions publish;
  publish.ratio = kPublishAllPushed;
  publish.value_encoding = ValueEncoding::kFp32;
  const auto weights = *BucketWeights::Create(kLength, {}, publish);
  std::string update;
  weights->Initialize(MakeRound({}, 1), &update);
  for (uint32_t step = 0; step < 5; ++step) {
    const std::string pushed = Sparse(step);
    ASSERT_TRUE(weights->Step(MakeRound({pushed}, 1), &update).ok());
    const absl::StatusOr<DecodedUpdate> sent = DecodeUpdate(update, kLength);
    EXPECT_EQ(sent->indices.size(), DecodeUpdate(pushed, kLength)->indices.size());
    float smallest = std::numeric_limits<float>::max();
    for (float value : sent->values) smallest = std::min(smallest, std::fabs(value));
    for (float value : ResidualOf(*weights)) ASSERT_LE(std::fabs(value), smallest);
  }
}

TEST(BucketWeightsTest, OverflowingWeightsAreAnError) {
  OptimizerOptions optimizer;
  optimizer.lr.base = std::numeric_limits<float>::max();
  const auto weights = *BucketWeights::Create(kLength, optimizer, {});
  std::vector<float> values(kLength, 3e38f);
  std::string huge, update;
  EncodeDense(absl::MakeSpan(values), ValueEncoding::kFp32, &huge);
  weights->Initialize(MakeRound({}, 1), &update);
  const absl::Status status = weights->Step(MakeRound({huge}, 1), &update);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("NaN or infinity"));
}

}  // namespace
}  // namespace cddp
