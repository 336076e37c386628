#include "worker/client/exchange_arrays.h"

#include <algorithm>
#include <utility>

#include "common/compress/finite.h"
#include "worker/exchange/buffer_difference.h"
#include "worker/optimizer/moved_weights.h"

namespace cddp {
namespace {

constexpr size_t kBlock = 8192;  // elements that stay in the first-level caches between two passes

// difference = published - own. Returns whether `own` is finite.
bool Subtract(const float* published, const float* own, float* difference, size_t size) {
  bool finite = true;
  for (size_t begin = 0; begin < size; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, size);
    for (size_t i = begin; i < end; ++i) difference[i] = published[i] - own[i];
    finite = finite && AllFinite(absl::MakeSpan(difference + begin, end - begin));
  }
  return finite;
}

}  // namespace

ExchangeArrays::ExchangeArrays(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory)
    : layout_(layout),
      memory_(layout, std::move(tensors), memory),
      published_buffers_(layout.total_elements() - layout.parameter_elements()),
      pushed_buffers_(published_buffers_.size()) {
  published_ = {layout.parameter_elements(), {}, absl::MakeSpan(published_buffers_)};
  pushed_ = {layout.parameter_elements(), {}, absl::MakeSpan(pushed_buffers_)};
}

void ExchangeArrays::PublishApart() {
  replica_.resize(layout_.parameter_elements());
  published_.parameters = absl::MakeSpan(replica_);
}

void ExchangeArrays::MakePushed() {
  if (!pushed_parameters_.empty()) return;
  pushed_parameters_.resize(layout_.parameter_elements());
  pushed_.parameters = absl::MakeSpan(pushed_parameters_);
}

absl::Status ExchangeArrays::PushGradient(size_t tensor, const float* gradient) {
  const ElementRange range = layout_.tensor_range(tensor);
  if (gradient != nullptr) return memory_.GatherOne(tensor, gradient, pushed_.Of(range));
  std::fill_n(pushed_.Of(range), range.size(), 0.0f);
  return absl::OkStatus();
}

absl::Status ExchangeArrays::PushBuffer(size_t tensor) {
  const ElementRange range = layout_.tensor_range(tensor);
  const auto moved = absl::MakeSpan(pushed_.Of(range), range.size());
  if (absl::Status status = memory_.GatherOne(tensor, memory_.tensor(tensor), moved.data()); !status.ok()) {
    return status;
  }
  BufferDifference({published_.Of(range), moved.size()}, moved, moved);
  return absl::OkStatus();
}

absl::Status ExchangeArrays::PushBuffers() {
  for (size_t i = 0; i < memory_.size(); ++i) {
    if (layout_.tensors()[i].kind != TensorKind::kBuffer) continue;
    if (absl::Status status = PushBuffer(i); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ExchangeArrays::PushMoved(const std::vector<float>& from) {
  MakePushed();
  bool finite = true;
  for (size_t i = 0; i < memory_.size() && layout_.tensors()[i].kind == TensorKind::kParameter; ++i) {
    const ElementRange range = layout_.tensor_range(i);
    const float* own = memory_.tensor(i);
    if (memory_.is_gpu()) {
      if (absl::Status status = memory_.GatherOne(i, own, pushed_.Of(range)); !status.ok()) return status;
      own = pushed_.Of(range);
    }
    finite = Subtract(from.data() + range.begin, own, pushed_.Of(range), range.size()) && finite;
  }
  if (absl::Status status = PushBuffers(); !status.ok()) return status;
  return finite;
}

absl::Status ExchangeArrays::SetProgramsWeights() {
  if (!begin_.empty()) begin_ = replica_;
  return memory_.Scatter(published_);
}

absl::Status ExchangeArrays::ChangeParameters(
    absl::FunctionRef<void(uint64_t at, float* weights, size_t size)> change) {
  std::vector<float> on_host;
  for (size_t i = 0; i < memory_.size() && layout_.tensors()[i].kind == TensorKind::kParameter; ++i) {
    const ElementRange range = layout_.tensor_range(i);
    float* weights = memory_.tensor(i);
    if (memory_.is_gpu()) {
      on_host.resize(range.size());
      weights = on_host.data();
      if (absl::Status status = memory_.GatherOne(i, memory_.tensor(i), weights); !status.ok()) return status;
    }
    change(range.begin, weights, range.size());
    if (absl::Status status = memory_.ScatterOne(i, weights); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ExchangeArrays::GoAhead() {
  return ChangeParameters([this](uint64_t at, float* weights, size_t size) {
    cddp::GoAhead(replica_.data() + at, pushed_parameters_.data() + at, weights, begin_.data() + at, size);
  });
}

absl::Status ExchangeArrays::TakeAnswer() {
  return ChangeParameters([this](uint64_t at, float* weights, size_t size) {
    cddp::TakeAnswer(replica_.data() + at, weights, begin_.data() + at, size);
  });
}

Elements ExchangeArrays::Split(std::vector<float>* all) const {
  const absl::Span<float> whole = absl::MakeSpan(*all);
  const uint64_t parameters = layout_.parameter_elements();
  return {parameters, whole.first(parameters), whole.subspan(parameters)};
}

absl::StatusOr<std::vector<float>> ExchangeArrays::Own() const {
  std::vector<float> own(layout_.total_elements());
  if (absl::Status status = memory_.Gather(Split(&own)); !status.ok()) return status;
  return own;
}

absl::StatusOr<std::vector<float>> ExchangeArrays::Published() const {
  absl::StatusOr<std::vector<float>> all = Own();  // in place, these are the parameters'
  if (!all.ok()) return all;
  const Elements to = Split(&*all);
  if (!replica_.empty()) std::copy(replica_.begin(), replica_.end(), to.parameters.begin());
  std::copy(published_buffers_.begin(), published_buffers_.end(), to.buffers.begin());
  return all;
}

absl::Status ExchangeArrays::SetPublished(std::vector<float> weights) {
  const Elements from = Split(&weights);
  if (!replica_.empty()) std::copy(from.parameters.begin(), from.parameters.end(), replica_.begin());
  if (!begin_.empty()) begin_ = replica_;
  std::copy(from.buffers.begin(), from.buffers.end(), published_buffers_.begin());
  return memory_.Scatter(from);
}

}  // namespace cddp
