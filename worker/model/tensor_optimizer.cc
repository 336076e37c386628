#include "worker/model/tensor_optimizer.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/codec/byte_io.h"
#include "worker/model/catch_torch.h"
#include "worker/model/torch_device.h"

namespace cddp {
namespace {

constexpr uint64_t kLeastTogether = uint64_t{1} << 20;  // elements of a part, so that its launches cost little

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }

// An option for each element if the runs differ; otherwise one number.
struct PerElement {
  torch::Tensor of(uint64_t begin, uint64_t size) const {
    return each.defined() ? each.narrow(0, Signed(begin), Signed(size)) : torch::Tensor();
  }
  // values * factor * this
  torch::Tensor Times(const torch::Tensor& values, double factor, uint64_t begin) const {
    if (!each.defined()) return values * (factor * all);
    return (values * factor).mul_(of(begin, static_cast<uint64_t>(values.numel())));
  }
  bool is_zero() const { return !each.defined() && all == 0; }

  double all = 0;
  torch::Tensor each;  // undefined: `all` counts
};

class TensorOptimizer final : public LocalOptimizer {
 public:
  TensorOptimizer(const WorkerOptimizerOptions& options, std::vector<ParameterRun> runs, const Device& device,
                  absl::Span<float> weights, uint64_t elements)
      : options_(options.optimizer),
        clip_norm_(options.clip_norm),
        runs_(std::move(runs)),
        device_(device),
        on_device_(torch::TensorOptions(torch::kFloat).device(TorchDevice(device))),
        parameters_(runs_.empty() ? 0 : runs_.back().range.end),
        replica_(torch::zeros({Signed(elements)}, on_device_)),
        difference_(torch::zeros_like(replica_)),
        begin_(options.overlaps ? View(weights).clone() : torch::Tensor()),
        skipped_(torch::zeros(torch::IntArrayRef(), on_device_.dtype(torch::kInt64))),
        skipped_on_host_(
            torch::zeros(torch::IntArrayRef(), torch::TensorOptions(torch::kInt64).pinned_memory(device.is_gpu))),
        alive_(torch::ones(torch::IntArrayRef(), on_device_.dtype(torch::kBool))) {
    replica_.narrow(0, 0, Signed(weights.size())).copy_(View(weights));
    const bool has_mean = options_.kind != OptimizerKind::kSgd || options_.momentum > 0;
    mean_ = torch::zeros({has_mean ? Signed(parameters_) : 0}, on_device_);
    square_ = torch::zeros({options_.kind != OptimizerKind::kSgd ? Signed(parameters_) : 0}, on_device_);
    rate_ = ByElement([this](const OptimizerOptions& own) { return own.lr.base / options_.lr.base; });
    decay_ = ByElement([](const OptimizerOptions& own) { return own.weight_decay; });
  }

  void SetStepsBefore(uint64_t steps) override { options_.lr.steps_before = steps; }

  void Begin(bool skip, const float* loss) override {
    const torch::NoGradGuard no_grad;
    alive_.fill_(!skip);
    if (loss != nullptr) {
      alive_.copy_(torch::from_blob(const_cast<float*>(loss), torch::IntArrayRef(), on_device_).isfinite());
    }
    scale_ = torch::Tensor();
    left_ = parameters_;
    rate_now_ = LearningRate(options_.lr, steps_++);
  }

  uint64_t Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights, Along along) override {
    const torch::NoGradGuard no_grad;
    if (left_ == 0) return 0;
    if (ready > 0 && (clip_norm_ > 0 || left_ < ready + kLeastTogether)) return left_;
    const torch::Tensor gradient = View(gradients);
    if (clip_norm_ > 0) Clip(gradient.narrow(0, 0, Signed(parameters_)));
    const uint64_t size = left_ - ready;
    const torch::Tensor own = View(weights).narrow(0, Signed(ready), Signed(size));
    StepPart(ready, gradient.narrow(0, Signed(ready), Signed(size)), own);
    if (along == Along::kDifference) {
      difference_.narrow(0, Signed(ready), Signed(size))
          .copy_(replica_.narrow(0, Signed(ready), Signed(size)).sub(own));
    }
    left_ = ready;
    if (left_ == 0) {
      skipped_.add_(alive_.logical_not());
      skipped_on_host_.copy_(skipped_, /*non_blocking=*/true);
    }
    return left_;
  }

  uint64_t TakeSkipped() override {
    const auto total =
        static_cast<uint64_t>(*static_cast<const volatile int64_t*>(skipped_on_host_.data_ptr<int64_t>()));
    return total - std::exchange(skipped_told_, total);
  }

  absl::Span<float> difference() override { return Elements(difference_); }
  absl::Span<float> replica() override { return Elements(replica_); }

  absl::Status TakePublished(absl::Span<float> weights) override {
    return CatchTorch([&] {
      CopyReplica(View(weights));
      if (begin_.defined()) CopyReplica(begin_);
      return absl::OkStatus();
    });
  }

  absl::Status NoteMoved(absl::Span<const float> weights) override {
    CDDP_CHECK(begin_.defined()) << "made without overlap";
    return CatchTorch([&] {
      const torch::NoGradGuard no_grad;
      Parameters(difference_).copy_(Parameters(begin_).sub(Parameters(View(weights))));
      return absl::OkStatus();
    });
  }

  absl::Status GoAhead(absl::Span<float> weights) override {
    CDDP_CHECK(begin_.defined()) << "made without overlap";
    return CatchTorch([&] {
      const torch::NoGradGuard no_grad;
      const torch::Tensor ahead = View(weights);
      CopyReplica(ahead);
      Parameters(ahead).sub_(torch::nan_to_num(Parameters(difference_), 0, 0, 0));
      begin_.copy_(ahead);
      return absl::OkStatus();
    });
  }

  absl::Status TakeAnswer(absl::Span<float> weights) override {
    CDDP_CHECK(begin_.defined()) << "made without overlap";
    return CatchTorch([&] {
      const torch::NoGradGuard no_grad;
      Parameters(View(weights)).sub_(Parameters(begin_)).add_(Parameters(replica_));
      CopyReplica(begin_);
      return absl::OkStatus();
    });
  }

  absl::Status SetReplica(absl::Span<const float> weights) override {
    return CopyFromHost(device_, weights, replica());
  }

  absl::StatusOr<std::string> SaveState() const override;
  absl::Status SetState(absl::string_view state) override;

 private:
  template <typename Float>
  torch::Tensor View(absl::Span<Float> elements) const {
    return torch::from_blob(const_cast<float*>(elements.data()), {Signed(elements.size())}, on_device_);
  }
  // The model's part of it.
  void CopyReplica(const torch::Tensor& to) const { to.copy_(replica_.narrow(0, 0, to.numel())); }
  // Without the buffers.
  torch::Tensor Parameters(const torch::Tensor& all) const { return all.narrow(0, 0, Signed(parameters_)); }
  static absl::Span<float> Elements(const torch::Tensor& tensor) {
    return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
  }

  template <typename Of>
  PerElement ByElement(const Of& of) const {
    PerElement values;
    if (runs_.empty()) return values;
    values.all = of(runs_.front().options);
    const bool alike =
        std::all_of(runs_.begin(), runs_.end(), [&](const ParameterRun& run) { return of(run.options) == values.all; });
    if (alike) return values;
    std::vector<float> each(parameters_);
    for (const ParameterRun& run : runs_) {
      std::fill(each.begin() + Signed(run.range.begin), each.begin() + Signed(run.range.end),
                static_cast<float>(of(run.options)));
    }
    values.each = torch::from_blob(each.data(), {Signed(parameters_)}).to(on_device_, false, /*copy=*/true);
    return values;
  }

  void Clip(const torch::Tensor& gradient) {
    const torch::Tensor norm = gradient.norm(2, torch::kDouble);
    alive_.logical_and_(norm.isfinite());
    scale_ = (clip_norm_ / norm).clamp_max(1).to(torch::kFloat);
  }

  // to = from, unless the step is skipped.
  void Keep(const torch::Tensor& to, const torch::Tensor& from) const { to.copy_(torch::where(alive_, from, to)); }

  void StepPart(uint64_t begin, torch::Tensor gradient, const torch::Tensor& weights) {
    alive_.logical_and_((gradient * 0).sum().eq(0));  // not for NaN, and infinity becomes NaN
    if (scale_.defined()) gradient = gradient * scale_;
    const bool decoupled = options_.kind == OptimizerKind::kAdamW;
    if (!decoupled && !decay_.is_zero()) gradient = gradient + decay_.Times(weights, 1, begin);
    torch::Tensor change =
        options_.kind == OptimizerKind::kSgd ? SgdChange(begin, gradient) : AdamChange(begin, gradient);
    if (decoupled && !decay_.is_zero()) {
      change = change.sub_(rate_.Times(decay_.Times(weights, 1, begin), rate_now_, begin));
    }
    Keep(weights, weights + change);
  }

  torch::Tensor SgdChange(uint64_t begin, const torch::Tensor& gradient) {
    if (mean_.numel() == 0) return rate_.Times(gradient, -rate_now_, begin);
    const torch::Tensor mean = mean_.narrow(0, Signed(begin), gradient.numel());
    const torch::Tensor moved = mean * options_.momentum + gradient;
    Keep(mean, moved);
    return rate_.Times(options_.nesterov ? gradient + moved * options_.momentum : moved, -rate_now_, begin);
  }

  torch::Tensor AdamChange(uint64_t begin, const torch::Tensor& gradient) {
    const auto t = static_cast<double>(steps_);
    const double step_size = rate_now_ / (1 - std::pow(options_.beta1, t));
    const double square_scale = 1 / std::sqrt(1 - std::pow(options_.beta2, t));
    const torch::Tensor mean = mean_.narrow(0, Signed(begin), gradient.numel());
    const torch::Tensor square = square_.narrow(0, Signed(begin), gradient.numel());
    const torch::Tensor new_mean = mean * options_.beta1 + gradient * (1 - options_.beta1);
    const torch::Tensor new_square = square * options_.beta2 + gradient * (1 - options_.beta2) * gradient;
    Keep(mean, new_mean);
    Keep(square, new_square);
    const torch::Tensor divisor = new_square.sqrt_().mul_(square_scale).add_(options_.epsilon);
    return rate_.Times(new_mean, -step_size, begin).div_(divisor);
  }

  OptimizerOptions options_;  // those of runs differ in rate_ and decay_
  const double clip_norm_;
  const std::vector<ParameterRun> runs_;
  const Device device_;
  const torch::TensorOptions on_device_;
  const uint64_t parameters_;
  const torch::Tensor replica_;
  const torch::Tensor difference_;
  const torch::Tensor begin_;  // where the steps that no exchange has begun with started; undefined without overlap
  torch::Tensor mean_;         // of Adam, or SGD's momentum; empty without
  torch::Tensor square_;       // of Adam, else empty
  PerElement rate_;            // factors of the options' rate
  PerElement decay_;
  uint64_t steps_ = 0;
  const torch::Tensor skipped_;          // steps in all of which a part was left out
  const torch::Tensor skipped_on_host_;  // after each step
  uint64_t skipped_told_ = 0;
  // Of the step under way.
  const torch::Tensor alive_;  // false: nothing changes from here on
  torch::Tensor scale_;        // of the gradient; undefined: 1
  double rate_now_ = 0;
  uint64_t left_ = 0;  // elements that have not made their step, from the front
};

absl::StatusOr<std::string> TensorOptimizer::SaveState() const {
  return CatchTorch([&]() -> absl::StatusOr<std::string> {
    const torch::Tensor mean = mean_.cpu(), square = square_.cpu();
    std::string state;
    ByteWriter to(&state);
    to.Put<uint64_t>(options_.lr.steps_before);
    for (const ParameterRun& run : runs_) {
      to.Put<uint64_t>(steps_);
      to.PutFloats(mean.numel() == 0 ? absl::Span<float>() : Elements(mean).subspan(run.range.begin, run.range.size()));
      if (options_.kind == OptimizerKind::kSgd) continue;
      to.PutFloats(Elements(square).subspan(run.range.begin, run.range.size()));
    }
    return state;
  });
}

absl::Status TensorOptimizer::SetState(absl::string_view state) {
  return CatchTorch([&]() -> absl::Status {
    const torch::Tensor mean = torch::zeros_like(mean_, torch::kCPU), square = torch::zeros_like(square_, torch::kCPU);
    ByteReader from(state);
    const auto steps_before = from.Get<uint64_t>();
    uint64_t steps = 0;
    for (const ParameterRun& run : runs_) {
      steps = std::max(steps, from.Get<uint64_t>());
      from.GetFloats(mean.numel() == 0 ? absl::Span<float>()
                                       : Elements(mean).subspan(run.range.begin, run.range.size()));
      if (options_.kind == OptimizerKind::kSgd) continue;
      from.GetFloats(Elements(square).subspan(run.range.begin, run.range.size()));
    }
    if (!from.ok() || !from.left().empty()) {
      return absl::InvalidArgumentError("the worker's optimizer's state is of another run");
    }
    options_.lr.steps_before = steps_before;
    steps_ = steps;
    mean_.copy_(mean);
    square_.copy_(square);
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalOptimizer>> MakeTensorOptimizer(const WorkerOptimizerOptions& options,
                                                                    const ParameterLayout& layout, const Device& device,
                                                                    absl::Span<float> weights) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  absl::StatusOr<std::vector<ParameterRun>> runs =
      MakeParameterRuns(layout, options.optimizer, options.groups, kMostRunElements);
  if (!runs.ok()) return runs.status();
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LocalOptimizer>> {
    return std::make_unique<TensorOptimizer>(options, *std::move(runs), device, weights, layout.total_elements());
  });
}

}  // namespace cddp
