#include "worker/model/shapes_model.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "absl/time/clock.h"
#include "common/clock/monotonic.h"
#include "common/codec/byte_io.h"
#include "common/config/model_names.h"
#include "worker/cuda/cuda_memory.h"
#include "worker/model/resnet50_shapes.h"

namespace cddp {
namespace {

constexpr uint64_t kPoolSlack = uint64_t{1} << 20;  // positions at which a step's gradients may begin
constexpr double kForwardPart = 1.0 / 3;            // a backward pass makes two products for each of a forward pass
constexpr float kGradientDeviation = 1e-2f;

// splitmix64: good enough here, and much faster than a Mersenne Twister.
struct SplitMix {
  using result_type = uint64_t;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return UINT64_MAX; }
  uint64_t operator()() {
    uint64_t mixed = state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }
  uint64_t state;
};

void FillNormal(float deviation, uint64_t seed, absl::Span<float> values) {
  SplitMix random{seed};
  std::normal_distribution<float> normal(0, deviation);
  for (float& value : values) value = normal(random);
}

}  // namespace

bool IsShapesModel(const std::string& name) { return name == kShapesModelName; }

ShapesModel::ShapesModel(const ShapesModelOptions& options) : compute_(options.compute) {
  const std::vector<ShapedTensor> shapes = Resnet50Shapes();
  double total_cost = 0;
  for (const ShapedTensor& tensor : shapes) total_cost += tensor.cost;
  uint64_t begin = 0;
  double before = 0;  // cost of the layers in front
  for (const ShapedTensor& tensor : shapes) {
    if (tensor.cost > 0) layers_.push_back({begin, 1 - before / total_cost});
    before += tensor.cost;
    begin += std::accumulate(tensor.spec.shape.begin(), tensor.spec.shape.end(), uint64_t{1}, std::multiplies<>());
    tensors_.push_back(tensor.spec);
  }
  std::reverse(layers_.begin(), layers_.end());
  memory_.resize(2 * begin + kPoolSlack);
  weights_ = absl::MakeSpan(memory_).first(begin);
  pool_ = absl::MakeSpan(memory_).subspan(begin);
  FillNormal(1e-2f, options.seed, weights_);
  random_ = options.seed * 1000003 + options.rank;
  FillNormal(kGradientDeviation, ~random_, pool_);
}

absl::Status ShapesModel::MoveTo(const Device& device) {
  if (device == device_) return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<void>> memory = AllocateOnDevice(device.gpu, memory_.size() * sizeof(float));
  if (!memory.ok()) return memory.status();
  const absl::Span<float> all(static_cast<float*>(memory->get()), memory_.size());
  if (absl::Status status = CopyFromHost(device, memory_, all); !status.ok()) return status;
  device_ = device;
  device_memory_ = *std::move(memory);
  weights_ = all.first(weights_.size());
  pool_ = all.subspan(weights_.size());
  memory_ = {};
  return absl::OkStatus();
}

absl::StatusOr<PassLoss> ShapesModel::ForwardBackward(absl::Span<const uint32_t> examples, GradientListener* listener) {
  const absl::Duration begin = MonotonicNow();
  const absl::Duration forward = compute_ * kForwardPart;
  SplitMix random{random_};
  begin_ = random() % kPoolSlack;
  random_ = random.state;
  absl::SleepFor(begin + forward - MonotonicNow());
  if (listener != nullptr) listener->OnLoss(0);
  for (const Layer& layer : layers_) {
    absl::SleepFor(begin + forward + (compute_ - forward) * layer.done - MonotonicNow());
    if (listener != nullptr) listener->OnGradients(layer.begin);
  }
  return 0.0;
}

absl::Status ShapesModel::Save(const std::string& path) const {
  return absl::FailedPreconditionError("a model of shapes alone has nothing to save: run without --model_output");
}

std::string ShapesModel::State() const {
  std::string state;
  ByteWriter(&state).Put<uint64_t>(random_);
  return state;
}

absl::Status ShapesModel::SetState(absl::string_view state) {
  if (state.size() != sizeof(random_)) return absl::InvalidArgumentError("the random stream is of another model");
  random_ = ByteReader(state).Get<uint64_t>();
  return absl::OkStatus();
}

}  // namespace cddp
