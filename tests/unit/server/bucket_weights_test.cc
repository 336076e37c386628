#include "server/bucket_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
      if (ratio < 1) publish.always_sent = {{100, 200}, {BucketCompressor::kInputPiece - 7, 40000}};
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
