#include "worker/model/training_model.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <caffe2/serialize/inline_container.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"
#include "common/files/durable_file.h"
#include "worker/model/gradient_frontier.h"
#include "worker/model/models.h"
#include "worker/model/shapes_model.h"

namespace cddp {
namespace {

constexpr uint64_t kEvaluationBatch = 100;  // small enough that its layers stay in the cache

// Runs `function`, which returns a Status or StatusOr, and turns LibTorch's exceptions into a Status.
template <typename Function>
auto CatchTorch(const Function& function) -> decltype(function()) {
  try {
    return function();
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat("LibTorch: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("LibTorch: ", error.what()));
  }
}

// OpenBLAS has threads of its own, as many as the machine has cores, and LibTorch does not tell it about its setting.
void SetBlasThreads(int threads) {
  using SetThreads = void (*)(int);
  const auto set_threads = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set_threads != nullptr) set_threads(threads);
}

void SetUpProcess(int threads) {
  at::set_num_threads(threads);
  if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);
  SetBlasThreads(threads);
  at::globalContext().setFlushDenormal(true);
}

// The bytes of a file as Python's torch.save writes it. torch::pickle_save would tag the dictionary with its types,
// which Python's torch.load refuses since PyTorch 2.6 unless it is told to trust the file (weights_only=False).
std::string PickleTensors(const c10::Dict<std::string, torch::Tensor>& tensors) {
  std::string pickled;
  torch::jit::Pickler pickler([&](const char* data, size_t size) { pickled.append(data, size); },
                              /*tensor_table=*/nullptr, /*type_renamer=*/nullptr, /*memoized_class_types=*/nullptr,
                              /*get_tensor_id=*/nullptr, /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(tensors);
  pickler.stop();

  std::string bytes;
  caffe2::serialize::PyTorchStreamWriter archive([&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  archive.writeRecord("data.pkl", pickled.data(), pickled.size());
  size_t index = 0;
  for (const torch::Tensor& tensor : pickler.tensorData()) {
    archive.writeRecord(absl::StrCat("data/", index++), tensor.data_ptr(), tensor.nbytes());
  }
  archive.writeEndOfFile();
  return bytes;
}

// Tells the frontier that LibTorch has added a tensor's whole gradient to where it is kept.
class GradientHook : public torch::autograd::FunctionPostHook {
 public:
  GradientHook(GradientFrontier* frontier, size_t tensor) : frontier_(*frontier), tensor_(tensor) {}

  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list& inputs) override {
    frontier_.Complete(tensor_);
    return outputs;
  }

 private:
  GradientFrontier& frontier_;
  const size_t tensor_;
};

class TorchModel final : public TrainingModel {
 public:
  absl::Status Make(const ModelOptions& options, const ImageDataset* data);

  std::vector<TensorSpec> tensors() const override;
  absl::Span<float> weights() override { return weights_; }
  absl::Span<const float> weights() const override { return weights_; }
  absl::Span<float> gradients() override { return gradients_; }
  absl::StatusOr<double> ForwardBackward(absl::Span<const uint32_t> examples, GradientListener* listener) override;
  absl::StatusOr<Evaluation> Evaluate() override;
  absl::Status Save(const std::string& path) const override;
  std::string State() const override;
  absl::Status SetState(absl::string_view state) override;

 private:
  void FlattenParameters();
  void WatchGradients();
  bool GradientsAreViews() const;
  // Images [examples, 1, rows, cols] and labels [examples] of the examples that `index_of` names for 0, 1, ...
  template <typename IndexOf>
  std::pair<torch::Tensor, torch::Tensor> Batch(const ImageSet& set, uint64_t examples, const IndexOf& index_of) const;

  const ImageDataset* data_ = nullptr;
  std::unique_ptr<GradientFrontier> frontier_;  // before the model: its hooks refer to it
  std::shared_ptr<ImageModel> model_;
  std::vector<torch::Tensor> parameters_;  // in model order
  torch::Tensor flat_weights_;             // [all elements] float32; the parameters are views of it
  torch::Tensor flat_gradients_;           // likewise their gradients
  absl::Span<float> weights_;              // flat_weights_' elements
  absl::Span<float> gradients_;            // flat_gradients_' elements
  std::array<float, 256> normalised_;      // pixel -> input
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;  // LibTorch itself keeps them only while in use
};

absl::Status TorchModel::Make(const ModelOptions& options, const ImageDataset* data) {
  data_ = data;
  SetUpProcess(options.threads);
  torch::manual_seed(options.seed);
  const ImageSet& train = data_->train;
  // Odd multiples of the rank keep the workers' dropout streams apart; the stream itself mixes the bits.
  const uint64_t dropout_seed = options.seed ^ (uint64_t{0xd1342543de82ef95} * (uint64_t{options.rank} + 1));
  absl::StatusOr<std::shared_ptr<ImageModel>> made =
      MakeModel(options.name, {train.rows, train.cols, data_->classes, dropout_seed});
  if (!made.ok()) return made.status();
  model_ = *std::move(made);
  FlattenParameters();
  WatchGradients();
  for (size_t pixel = 0; pixel < normalised_.size(); ++pixel) {
    normalised_[pixel] =
        static_cast<float>((static_cast<double>(pixel) / 255 - data_->pixel_mean) / data_->pixel_stddev);
  }
  return absl::OkStatus();
}

void TorchModel::FlattenParameters() {
  const torch::NoGradGuard no_grad;
  parameters_ = model_->parameters();
  int64_t elements = 0;
  for (const torch::Tensor& parameter : parameters_) elements += parameter.numel();
  flat_weights_ = torch::zeros({elements});
  flat_gradients_ = torch::zeros({elements});
  weights_ = {flat_weights_.data_ptr<float>(), static_cast<size_t>(elements)};
  gradients_ = {flat_gradients_.data_ptr<float>(), static_cast<size_t>(elements)};
  int64_t offset = 0;
  for (torch::Tensor& parameter : parameters_) {
    const int64_t length = parameter.numel();
    const torch::Tensor view = flat_weights_.narrow(0, offset, length).view(parameter.sizes());
    view.copy_(parameter);
    parameter.set_data(view);
    parameter.mutable_grad() = flat_gradients_.narrow(0, offset, length).view(parameter.sizes());
    offset += length;
  }
}

void TorchModel::WatchGradients() {
  std::vector<uint64_t> offsets;
  uint64_t offset = 0;
  for (const torch::Tensor& parameter : parameters_) {
    offsets.push_back(offset);
    offset += static_cast<uint64_t>(parameter.numel());
  }
  frontier_ = std::make_unique<GradientFrontier>(std::move(offsets));
  for (size_t tensor = 0; tensor < parameters_.size(); ++tensor) {
    accumulators_.push_back(torch::autograd::impl::grad_accumulator(parameters_[tensor]));
    accumulators_.back()->add_post_hook(std::make_unique<GradientHook>(frontier_.get(), tensor));
  }
}

bool TorchModel::GradientsAreViews() const {
  const float* expected = gradients_.data();
  for (const torch::Tensor& parameter : parameters_) {
    if (!parameter.grad().defined() || parameter.grad().data_ptr<float>() != expected) return false;
    expected += parameter.numel();
  }
  return true;
}

template <typename IndexOf>
std::pair<torch::Tensor, torch::Tensor> TorchModel::Batch(const ImageSet& set, uint64_t examples,
                                                          const IndexOf& index_of) const {
  const size_t image_pixels = size_t{set.rows} * set.cols;
  torch::Tensor images = torch::empty({static_cast<int64_t>(examples), 1, set.rows, set.cols});
  torch::Tensor labels = torch::empty({static_cast<int64_t>(examples)}, torch::kInt64);
  float* image = images.data_ptr<float>();
  int64_t* label = labels.data_ptr<int64_t>();
  for (uint64_t i = 0; i < examples; ++i) {
    const uint64_t index = index_of(i);
    const uint8_t* pixels = set.pixels.data() + index * image_pixels;
    image = std::transform(pixels, pixels + image_pixels, image, [this](uint8_t pixel) { return normalised_[pixel]; });
    *label++ = set.labels[index];
  }
  return {images, labels};
}

std::vector<TensorSpec> TorchModel::tensors() const {
  std::vector<TensorSpec> specs;
  for (const auto& parameter : model_->named_parameters()) {
    specs.push_back({parameter.key(), parameter.value().sizes().vec()});
  }
  return specs;
}

absl::StatusOr<double> TorchModel::ForwardBackward(absl::Span<const uint32_t> examples, GradientListener* listener) {
  const ImageSet& train = data_->train;
  if (examples.empty()) return absl::InvalidArgumentError("a training step needs at least one example");
  for (const uint32_t example : examples) {
    if (example >= train.count()) {
      return absl::InvalidArgumentError(
          absl::StrCat("example ", example, " is outside the training set of ", train.count()));
    }
  }
  return CatchTorch([&]() -> absl::StatusOr<double> {
    model_->train();
    flat_gradients_.zero_();
    const auto [images, labels] = Batch(train, examples.size(), [&](uint64_t i) { return examples[i]; });
    const torch::Tensor loss = torch::nn::functional::cross_entropy(model_->forward(images), labels);
    const double mean_loss = loss.item<double>();
    if (listener != nullptr) listener->OnLoss(mean_loss);
    frontier_->Start(listener);
    loss.backward();
    frontier_->Finish();
    if (!GradientsAreViews()) {
      return absl::InternalError("LibTorch has replaced a gradient instead of adding to it");
    }
    return mean_loss;
  });
}

absl::StatusOr<Evaluation> TorchModel::Evaluate() {
  return CatchTorch([&]() -> absl::StatusOr<Evaluation> {
    const torch::NoGradGuard no_grad;
    model_->eval();
    const ImageSet& test = data_->test;
    double loss = 0;
    int64_t correct = 0;
    for (uint64_t begin = 0; begin < test.count(); begin += kEvaluationBatch) {
      const uint64_t examples = std::min(kEvaluationBatch, test.count() - begin);
      const auto [images, labels] = Batch(test, examples, [&](uint64_t i) { return begin + i; });
      const torch::Tensor logits = model_->forward(images);
      loss += torch::nn::functional::cross_entropy(logits, labels).item<double>() * static_cast<double>(examples);
      correct += logits.argmax(1).eq(labels).sum().item<int64_t>();
    }
    const auto examples = static_cast<double>(std::max<uint64_t>(test.count(), 1));
    return Evaluation{loss / examples, static_cast<double>(correct) / examples, test.count()};
  });
}

absl::Status TorchModel::Save(const std::string& path) const {
  return CatchTorch([&] {
    c10::Dict<std::string, torch::Tensor> tensors;
    // Clones: a view would be written with the whole flat array behind it.
    for (const auto& parameter : model_->named_parameters()) {
      tensors.insert(parameter.key(), parameter.value().detach().clone());
    }
    for (const auto& buffer : model_->named_buffers()) {
      tensors.insert(buffer.key(), buffer.value().detach().clone());
    }
    return ReplaceFile(path, PickleTensors(tensors));
  });
}

std::string TorchModel::State() const {
  std::string state;
  ByteWriter to(&state);
  to.Put<uint64_t>(model_->dropout() == nullptr ? 0 : model_->dropout()->state());
  for (const torch::Tensor& buffer : model_->buffers()) {
    to.PutBytes({static_cast<const char*>(buffer.data_ptr()), buffer.nbytes()});
  }
  return state;
}

absl::Status TorchModel::SetState(absl::string_view state) {
  ByteReader from(state);
  const uint64_t random = from.Get<uint64_t>();
  std::vector<torch::Tensor> buffers = model_->buffers();
  std::vector<absl::string_view> contents;
  for (const torch::Tensor& buffer : buffers) {
    contents.push_back(from.GetBytes());
    if (contents.back().size() != buffer.nbytes()) from.Fail();
  }
  if (!from.ok() || !from.left().empty()) return absl::InvalidArgumentError("the buffers are of another model");
  if (model_->dropout() != nullptr) model_->dropout()->set_state(random);
  for (size_t i = 0; i < buffers.size(); ++i)
    std::memcpy(buffers[i].data_ptr(), contents[i].data(), contents[i].size());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Create(const ModelOptions& options,
                                                                     const ImageDataset* data) {
  if (IsShapesModel(options.name)) {
    return std::make_unique<ShapesModel>(ShapesModelOptions{options.seed, options.rank, options.compute});
  }
  auto model = std::make_unique<TorchModel>();
  if (absl::Status status = CatchTorch([&] { return model->Make(options, data); }); !status.ok()) return status;
  return model;
}

}  // namespace cddp
