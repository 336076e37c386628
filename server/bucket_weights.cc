#include "server/bucket_weights.h"

#include <algorithm>
#include <utility>

#include "common/check/check.h"
#include "common/codec/update_codec.h"
#include "common/optimizer/prefetch.h"

namespace cddp {
namespace {

// Readers of a round's contributions. The vector belongs to the thread and is reused: 8 KiB for each contribution would
// be the largest allocation of a round.
std::vector<UpdateReader>& ReadersOf(const std::vector<CheckedUpdate>& contributions) {
  thread_local std::vector<UpdateReader> readers;
  readers.clear();
  readers.reserve(contributions.size());
  for (const CheckedUpdate& contribution : contributions) readers.emplace_back(contribution);
  return readers;
}

// Computes the sum of a round piece by piece. At most one at a time per thread.
class RoundSum {
 public:
  RoundSum(const BucketWeights::Round& round, bool with_factors)
      : carried_(round.carried),
        readers_(ReadersOf(round.contributions)),
        factors_(with_factors ? round.factors : absl::Span<const float>()),
        carried_factor_(factors_.empty() ? 1 : round.carried_factor) {}

  // sum = elements [begin, begin + sum.size()); calls go from the first element to the last. `meanwhile(from, to)` is
  // called for all of these elements, in parts, between the additions: adding up is arithmetic within the cache, so
  // that it can start what keeps the memory busy.
  template <typename Meanwhile>
  void Read(uint32_t begin, absl::Span<float> sum, Meanwhile meanwhile) {
    CDDP_CHECK(carried_.empty() || begin + sum.size() <= carried_.size()) << begin << " + " << sum.size();
    if (carried_.empty()) {
      std::fill(sum.begin(), sum.end(), 0.0f);
    } else {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] = carried_[begin + i] * carried_factor_;
    }
    size_t done = 0;
    for (size_t i = 0; i < readers_.size(); ++i) {
      readers_[i].AddTo(begin, factors_.empty() ? 1 : factors_[i], sum);
      const size_t from = std::exchange(done, sum.size() * (i + 1) / readers_.size());
      meanwhile(begin + from, begin + done);
    }
  }

 private:
  const absl::Span<const float> carried_;
  std::vector<UpdateReader>& readers_;
  const absl::Span<const float> factors_;
  const float carried_factor_;
};

// Whether an optimizer moves elements that the round did not touch.
TouchedChoice ChoiceFor(const OptimizerOptions& optimizer) {
  const bool moves_others =
      optimizer.kind != OptimizerKind::kSgd || optimizer.momentum > 0 || optimizer.weight_decay > 0;
  return moves_others ? TouchedChoice::kLargest : TouchedChoice::kTheTouched;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BucketWeights>> BucketWeights::Create(uint32_t length, const OptimizerOptions& optimizer,
                                                                     const CompressorOptions& publish) {
  std::unique_ptr<BucketWeights> weights(new BucketWeights(length, optimizer));
  if (publish.ratio == kPublishAllPushed) {
    absl::StatusOr<std::unique_ptr<TouchedCompressor>> publisher =
        TouchedCompressor::Create(length, ChoiceFor(optimizer), publish);
    if (!publisher.ok()) return publisher.status();
    weights->touched_publisher_ = *std::move(publisher);
  } else {
    absl::StatusOr<std::unique_ptr<BucketCompressor>> publisher = BucketCompressor::Create(length, publish);
    if (!publisher.ok()) return publisher.status();
    weights->ratio_publisher_ = *std::move(publisher);
  }
  return weights;
}

BucketWeights::BucketWeights(uint32_t length, const OptimizerOptions& optimizer)
    : published_(length), residual_(length), optimizer_(Optimizer::Create(optimizer, length)) {}

void BucketWeights::Initialize(const Round& round, std::string* update) {
  RoundSum(round, /*with_factors=*/false).Read(0, absl::MakeSpan(published_), [](size_t, size_t) {});
  EncodeAll(absl::MakeSpan(published_), ValueEncoding::kFp32, update);
}

absl::Status BucketWeights::Step(const Round& round, std::string* update) {
  RoundSum sum(round, /*with_factors=*/true);
  optimizer_->BeginStep();
  alignas(64) float piece[BucketCompressor::kInputPiece];
  const auto read = [&](uint32_t begin, uint32_t end) {
    CDDP_CHECK(begin <= end && end - begin <= BucketCompressor::kInputPiece) << "[" << begin << ", " << end << ")";
    const absl::Span<float> elements(piece, end - begin);
    sum.Read(begin, elements, [&](size_t from, size_t to) {
      optimizer_->Prefetch(from, to - from);
      PrefetchFloats(residual_.data() + from, to - from);
    });
    return elements;
  };
  const auto change = [&](uint32_t begin, absl::Span<float> elements) {
    optimizer_->StepPart(begin, round.scale, elements, absl::MakeConstSpan(published_).subspan(begin, elements.size()),
                         absl::MakeConstSpan(residual_).subspan(begin, elements.size()));
  };
  const auto changed = [&](uint32_t begin, uint32_t end) -> absl::Span<const float> {
    const absl::Span<float> elements = read(begin, end);
    change(begin, elements);
    return elements;
  };
  const absl::Span<float> residual = absl::MakeSpan(residual_);
  const absl::StatusOr<CompressResult> compressed = touched_publisher_ != nullptr
                                                        ? touched_publisher_->Compress(read, change, residual, update)
                                                        : ratio_publisher_->CompressProduced(changed, residual, update);
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
