// A model without computation: the tensors of a real one, gradients from a pool of random numbers, and passes that idle
// for the time of an accelerator's computation. With it a few cores can run a cluster whose network is measured.

#ifndef WORKER_MODEL_SHAPES_MODEL_H_
#define WORKER_MODEL_SHAPES_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "worker/model/training_model.h"

namespace cddp {

// Whether `name` is such a model ("resnet50_shapes").
bool IsShapesModel(const std::string& name);

struct ShapesModelOptions {
  uint64_t seed = 42;
  uint32_t rank = 0;
  absl::Duration compute = absl::Milliseconds(500);  // a third forward, the rest backward
};

// A step lasts `compute` from its beginning, regardless of other load on the processor, and a layer's part of it is
// that of its multiply-adds. The gradients of a step are a range of normally distributed numbers whose beginning
// differs in each step; seed, rank and step determine it. The loss is 0.
class ShapesModel final : public TrainingModel {
 public:
  explicit ShapesModel(const ShapesModelOptions& options);

  // Moves weights and gradients to a device's memory. Errors of AllocateOnDevice.
  absl::Status MoveTo(const Device& device);

  std::vector<TensorSpec> tensors() const override { return tensors_; }
  Device device() const override { return device_; }
  absl::Span<float> weights() override { return weights_; }
  absl::Span<const float> weights() const override { return weights_; }
  absl::Span<float> gradients() override { return pool_.subspan(begin_, weights_.size()); }
  absl::Span<const float> buffers() const override { return {}; }
  void WriteBufferDifference(absl::Span<const float> published, absl::Span<float> difference) override {}
  void TakePublishedBuffers() override {}
  void SetCounters(uint64_t steps) override {}
  absl::StatusOr<PassLoss> ForwardBackward(absl::Span<const uint32_t> examples, GradientListener* listener) override;
  absl::StatusOr<Evaluation> Evaluate() override { return Evaluation{}; }
  // FailedPrecondition: there is nothing to save.
  absl::Status Save(const std::string& path) const override;
  std::string State() const override;
  absl::Status SetState(absl::string_view state) override;

 private:
  struct Layer {
    uint64_t begin = 0;  // its first element
    double done = 0;     // part of the backward pass that is done when its gradients are complete
  };

  const absl::Duration compute_;
  std::vector<TensorSpec> tensors_;
  std::vector<Layer> layers_;  // last first
  Device device_;
  std::vector<float> memory_;            // of weights_, then pool_; empty on a GPU
  std::shared_ptr<void> device_memory_;  // likewise on a GPU
  absl::Span<float> weights_;
  absl::Span<float> pool_;
  uint64_t random_;
  uint64_t begin_ = 0;  // in pool_, of this step's gradients
};

}  // namespace cddp

#endif  // WORKER_MODEL_SHAPES_MODEL_H_
