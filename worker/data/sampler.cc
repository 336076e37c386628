#include "worker/data/sampler.h"

#include <cstdint>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

// Uniform in [0, bound). The standard's distributions and shuffle differ between libraries; this does not.
uint64_t Below(std::mt19937_64& random, uint64_t bound) {
  const uint64_t fair = UINT64_MAX - UINT64_MAX % bound;
  uint64_t draw = random();
  while (draw >= fair) draw = random();
  return draw % bound;
}

}  // namespace

absl::StatusOr<EpochSampler> EpochSampler::Create(const SamplerOptions& options) {
  if (options.rank >= options.worker_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", options.rank, " is outside the ", options.worker_count, " worker(s)"));
  }
  if (options.batch_size == 0) return absl::InvalidArgumentError("--batch_size must be at least 1");
  const uint64_t a_step = uint64_t{options.worker_count} * options.batch_size;
  if (options.examples < a_step) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.worker_count, " workers with --batch_size=", options.batch_size, " need ", a_step,
                     " examples a step, there are ", options.examples, ": use a smaller batch or fewer workers"));
  }
  if (options.stride == 0) return absl::InvalidArgumentError("a window must have at least one element");
  if ((options.examples + 1) * options.stride - 1 > UINT32_MAX)
    return absl::InvalidArgumentError("more examples than 32 bits count");
  return EpochSampler(options, options.examples / a_step);
}

void EpochSampler::StartEpoch(uint64_t epoch) {
  std::vector<uint32_t> order(options_.examples);
  std::iota(order.begin(), order.end(), 0);
  std::seed_seq seed = {static_cast<uint32_t>(options_.seed), static_cast<uint32_t>(options_.seed >> 32),
                        static_cast<uint32_t>(epoch), static_cast<uint32_t>(epoch >> 32)};
  std::mt19937_64 random(seed);
  for (uint64_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[Below(random, i)]);

  const auto phase = static_cast<uint32_t>(Below(random, options_.stride));
  mine_.clear();
  const uint64_t wanted = steps_ * options_.batch_size;
  for (uint64_t i = 0; i < wanted; ++i) {
    mine_.push_back(order[i * options_.worker_count + options_.rank] * options_.stride + phase);
  }
}

absl::Span<const uint32_t> EpochSampler::Batch(uint64_t step) const {
  return absl::MakeConstSpan(mine_).subspan(step * options_.batch_size, options_.batch_size);
}

}  // namespace cddp
