#include "server/bucket_weights.h"

#include <algorithm>
#include <utility>

#include "common/check/check.h"
#include "common/codec/update_codec.h"
#include "common/optimizer/optimizer_loops.h"

namespace cddp {
namespace {

// Makes the sum of a round piece by piece.
class RoundSum {
 public:
  explicit RoundSum(const BucketWeights::Round& round)
      : carried_(round.carried), readers_(round.contributions.begin(), round.contributions.end()) {}

  // sum = elements [begin, begin + sum.size()); calls go from the first element to the last.
  void Read(uint32_t begin, absl::Span<float> sum) {
    CDDP_CHECK(carried_.empty() || begin + sum.size() <= carried_.size()) << begin << " + " << sum.size();
    if (carried_.empty()) {
      std::fill(sum.begin(), sum.end(), 0.0f);
    } else {
      std::copy_n(carried_.begin() + begin, sum.size(), sum.begin());
    }
    for (UpdateReader& reader : readers_) reader.AddTo(begin, sum);
  }

 private:
  const absl::Span<const float> carried_;
  std::vector<UpdateReader> readers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BucketWeights>> BucketWeights::Create(uint32_t length, const OptimizerOptions& optimizer,
                                                                     const CompressorOptions& publish) {
  absl::StatusOr<std::unique_ptr<BucketCompressor>> publisher = BucketCompressor::Create(length, publish);
  if (!publisher.ok()) return publisher.status();
  return std::unique_ptr<BucketWeights>(new BucketWeights(length, optimizer, *std::move(publisher)));
}

BucketWeights::BucketWeights(uint32_t length, const OptimizerOptions& optimizer,
                             std::unique_ptr<BucketCompressor> publisher)
    : published_(length),
      residual_(length),
      optimizer_(Optimizer::Create(optimizer, length)),
      publisher_(std::move(publisher)) {}

void BucketWeights::Initialize(const Round& round, std::string* update) {
  RoundSum(round).Read(0, absl::MakeSpan(published_));
  EncodeAll(absl::MakeSpan(published_), ValueEncoding::kFp32, update);
}

absl::Status BucketWeights::Step(const Round& round, std::string* update) {
  RoundSum sum(round);
  optimizer_->BeginStep();
  float piece[BucketCompressor::kInputPiece];
  const auto change = [&](uint32_t begin, uint32_t end) -> absl::Span<const float> {
    CDDP_CHECK(begin <= end && end - begin <= BucketCompressor::kInputPiece) << "[" << begin << ", " << end << ")";
    const absl::Span<float> gradient(piece, end - begin);
    sum.Read(begin, gradient);
    Scale(round.scale, gradient.data(), gradient.size());
    optimizer_->StepPart(begin, gradient, absl::MakeConstSpan(published_).subspan(begin, gradient.size()),
                         absl::MakeConstSpan(residual_).subspan(begin, gradient.size()));
    return gradient;
  };
  const absl::StatusOr<CompressResult> compressed =
      publisher_->CompressProduced(change, absl::MakeSpan(residual_), update);
  if (!compressed.ok()) return absl::FailedPreconditionError(compressed.status().message());
  return AddUpdate(*update, absl::MakeSpan(published_));
}

void BucketWeights::Save(ByteWriter& to) const {
  to.PutFloats(published_);
  to.PutFloats(residual_);
  optimizer_->Save(&to);
}

void BucketWeights::Load(ByteReader& from) {
  from.GetFloats(absl::MakeSpan(published_));
  from.GetFloats(absl::MakeSpan(residual_));
  optimizer_->Load(&from);
}

}  // namespace cddp
