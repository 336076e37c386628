#include "worker/optimizer/worker_optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/codec/byte_io.h"
#include "common/compress/finite.h"
#include "common/compress/momentum_correction.h"
#include "worker/optimizer/moved_weights.h"

namespace cddp {
namespace {

// Elements that pass through a step and its additional work at a time: 32 KiB of each array.
constexpr uint64_t kPieceElements = uint64_t{1} << 13;

}  // namespace

absl::Status Validate(const WorkerOptimizerOptions& options) {
  if (absl::Status status = Validate(options.optimizer); !status.ok()) return status;
  if (!(options.clip_norm >= 0) || std::isinf(options.clip_norm)) {
    return absl::InvalidArgumentError(absl::StrCat("--clip_norm=", options.clip_norm, " is below 0"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<WorkerOptimizer>> WorkerOptimizer::Create(const WorkerOptimizerOptions& options,
                                                                         const ParameterLayout& layout,
                                                                         absl::Span<const float> weights) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  absl::StatusOr<std::vector<ParameterRun>> runs =
      MakeParameterRuns(layout, options.optimizer, options.groups, kMostRunElements);
  if (!runs.ok()) return runs.status();
  std::unique_ptr<WorkerOptimizer> made(new WorkerOptimizer(*std::move(runs), options, layout, weights));
  made->MakeOptimizers(0);
  return made;
}

WorkerOptimizer::WorkerOptimizer(std::vector<ParameterRun> runs, const WorkerOptimizerOptions& options,
                                 const ParameterLayout& layout, absl::Span<const float> weights)
    : runs_(std::move(runs)),
      clip_norm_(options.clip_norm),
      replica_(weights.begin(), weights.end()),
      difference_(layout.total_elements()),
      begin_(options.overlaps ? replica_ : std::vector<float>()),
      change_(kPieceElements) {
  replica_.resize(layout.total_elements());
}

void WorkerOptimizer::MakeOptimizers(uint64_t steps_before) {
  steps_before_ = steps_before;
  optimizers_.clear();
  for (const ParameterRun& run : runs_) {
    OptimizerOptions options = run.options;
    options.lr.steps_before = steps_before;
    optimizers_.push_back(Optimizer::Create(options, run.range.size()));
  }
}

void WorkerOptimizer::Begin(bool skip, const float* loss) {
  skips_ = skip;
  scale_ = 1;
  left_ = runs_.size();
}

uint64_t WorkerOptimizer::Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights,
                               Along along) {
  const bool was_done = left_ == 0;
  if (clip_norm_ > 0 && left_ == runs_.size()) {
    if (ready > 0) return replica_.size();
    const double sum_sq = SumOfSquares(gradients);
    skips_ |= !std::isfinite(sum_sq);
    if (!skips_) scale_ = ClipScale(sum_sq, clip_norm_, /*worker_count=*/1);
  }
  while (left_ > 0 && runs_[left_ - 1].range.begin >= ready) {
    if (along == Along::kAnswer) answered_ = std::max(answered_, left_);
    if (along == Along::kAhead) ahead_ = std::max(ahead_, left_);
    StepRun(--left_, gradients, weights, along);
  }
  if (left_ > 0) return runs_[left_ - 1].range.end;
  if (!was_done && skips_) ++skipped_steps_;
  return 0;
}

void WorkerOptimizer::StepRun(size_t run, absl::Span<const float> gradients, absl::Span<float> weights, Along along) {
  const ElementRange& range = runs_[run].range;
  skips_ |= !AllFinite(gradients.subspan(range.begin, range.size()));
  if (!skips_) optimizers_[run]->BeginStep();
  for (uint64_t begin = range.begin; begin < range.end; begin += kPieceElements) {
    const ElementRange piece = {begin, std::min(begin + kPieceElements, range.end)};
    const absl::Span<float> own = weights.subspan(piece.begin, piece.size());
    if (!skips_) {
      const absl::Span<float> change = absl::MakeSpan(change_).first(piece.size());
      std::copy_n(gradients.begin() + static_cast<int64_t>(piece.begin), piece.size(), change.begin());
      optimizers_[run]->StepPart(piece.begin - range.begin, scale_, change, own, /*residual=*/{});
      for (uint64_t i = 0; i < change.size(); ++i) own[i] += change[i];
    }
    DoAlong(along, piece, weights);
  }
}

void WorkerOptimizer::DoAlong(Along along, const ElementRange& range, absl::Span<float> weights) {
  switch (along) {
    case Along::kNothing:
      return;
    case Along::kDifference:
      return NoteMoved(replica_, range, weights);
    case Along::kAnswer:
      return TakeAnswer(range, weights);
    case Along::kAhead:
      NoteMoved(begin_, range, weights);
      return GoAhead(range, weights);
  }
}

void WorkerOptimizer::NoteMoved(const std::vector<float>& from, const ElementRange& range,
                                absl::Span<const float> weights) {
  const uint64_t at = range.begin;
  cddp::NoteMoved(from.data() + at, weights.data() + at, difference_.data() + at, range.size());
}

void WorkerOptimizer::GoAhead(const ElementRange& range, absl::Span<float> weights) {
  const uint64_t at = range.begin;
  cddp::GoAhead(replica_.data() + at, difference_.data() + at, weights.data() + at, begin_.data() + at, range.size());
}

void WorkerOptimizer::TakeAnswer(const ElementRange& range, absl::Span<float> weights) {
  const uint64_t at = range.begin;
  cddp::TakeAnswer(replica_.data() + at, weights.data() + at, begin_.data() + at, range.size());
}

absl::Status WorkerOptimizer::TakePublished(absl::Span<float> weights) {
  CopyReplica(weights);
  if (!begin_.empty()) CopyReplica(absl::MakeSpan(begin_));
  return absl::OkStatus();
}

absl::Status WorkerOptimizer::NoteMoved(absl::Span<const float> weights) {
  CDDP_CHECK(begin_.size() == weights.size()) << "made without overlap";
  NoteMoved(begin_, Behind(ahead_), weights);
  return absl::OkStatus();
}

absl::Status WorkerOptimizer::GoAhead(absl::Span<float> weights) {
  CDDP_CHECK(begin_.size() == weights.size()) << "made without overlap";
  GoAhead(Behind(std::exchange(ahead_, 0)), weights);
  for (uint64_t i = parameters(); i < weights.size(); ++i) weights[i] = replica_[i];
  return absl::OkStatus();
}

absl::Status WorkerOptimizer::TakeAnswer(absl::Span<float> weights) {
  CDDP_CHECK(begin_.size() == weights.size()) << "made without overlap";
  TakeAnswer(Behind(std::exchange(answered_, 0)), weights);
  return absl::OkStatus();
}

absl::Status WorkerOptimizer::SetReplica(absl::Span<const float> weights) {
  std::copy(weights.begin(), weights.end(), replica_.begin());
  return absl::OkStatus();
}

std::string WorkerOptimizer::State() const {
  std::string state;
  ByteWriter to(&state);
  to.Put<uint64_t>(steps_before_);
  for (const auto& optimizer : optimizers_) optimizer->Save(&to);
  return state;
}

absl::Status WorkerOptimizer::SetState(absl::string_view state) {
  ByteReader from(state);
  MakeOptimizers(from.Get<uint64_t>());
  for (const auto& optimizer : optimizers_) optimizer->Load(&from);
  if (from.ok() && from.left().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("the worker's optimizer's state is of another run");
}

}  // namespace cddp
