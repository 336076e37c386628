#include "worker/trainer/local_steps.h"

#include <algorithm>

#include "common/codec/byte_io.h"

namespace cddp {
namespace {

constexpr uint64_t kBlock = uint64_t{1} << 16;  // its gradient, weights and momentum fit the second-level cache

}  // namespace

LocalSteps::LocalSteps(const OptimizerOptions& inner, absl::Span<const float> weights)
    : replica_(weights.begin(), weights.end()), difference_(weights.size()), change_(kBlock), done_(weights.size()) {
  for (uint64_t begin = 0; begin < weights.size(); begin += kBlock) {
    inner_.push_back(Optimizer::Create(inner, std::min<uint64_t>(kBlock, weights.size() - begin)));
  }
}

uint64_t LocalSteps::Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights,
                          bool with_difference) {
  while (done_ > 0) {
    const uint64_t block = (done_ - 1) / kBlock;
    const uint64_t begin = block * kBlock;
    if (begin < ready) break;
    const absl::Span<float> change = absl::MakeSpan(change_).first(done_ - begin);
    std::copy(gradients.begin() + begin, gradients.begin() + done_, change.begin());
    inner_[block]->Step(change, weights.subspan(begin, change.size()), /*residual=*/{});
    for (uint64_t i = 0; i < change.size(); ++i) weights[begin + i] += change[i];
    if (with_difference) {
      for (uint64_t i = begin; i < done_; ++i) difference_[i] = replica_[i] - weights[i];
    }
    done_ = begin;
  }
  return done_;
}

std::string LocalSteps::State() const {
  std::string state;
  ByteWriter to(&state);
  for (const auto& optimizer : inner_) optimizer->Save(&to);
  return state;
}

absl::Status LocalSteps::SetState(absl::string_view state) {
  ByteReader from(state);
  for (const auto& optimizer : inner_) optimizer->Load(&from);
  if (from.ok() && from.left().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("the inner optimizer's state is of another run");
}

}  // namespace cddp
