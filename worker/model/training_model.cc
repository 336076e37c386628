#include "worker/model/training_model.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <caffe2/serialize/inline_container.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"
#include "common/config/model_names.h"
#include "common/files/durable_file.h"
#include "worker/model/batches.h"
#include "worker/model/catch_torch.h"
#include "worker/model/gpt.h"
#include "worker/model/gradient_frontier.h"
#include "worker/model/models.h"
#include "worker/model/script_network.h"
#include "worker/model/shapes_model.h"
#include "worker/model/torch_device.h"

namespace cddp {
namespace {

// OpenBLAS has its own threads, one per core of the machine, and LibTorch does not pass its setting on to it.
void SetBlasThreads(int threads) {
  using SetThreads = void (*)(int);
  const auto set_threads = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set_threads != nullptr) set_threads(threads);
}

void SetUpProcess(int threads, const Device& device) {
  if (device.is_gpu) at::globalContext().setDeterministicCuDNN(true);
  at::set_num_threads(threads);
  if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);
  SetBlasThreads(threads);
  at::globalContext().setFlushDenormal(true);
}

// The bytes of a file in the format of Python's torch.save. torch::pickle_save would tag the dictionary with its types,
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

// Tells the frontier that LibTorch has added a tensor's whole gradient to its grad().
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

absl::Span<float> ElementsOf(const torch::Tensor& flat) {
  return {flat.data_ptr<float>(), static_cast<size_t>(flat.numel())};
}

// Odd multiples of the rank keep the workers' random streams apart; the streams themselves mix the bits.
uint64_t SeedOf(const ModelOptions& options) {
  return options.seed ^ (uint64_t{0xd1342543de82ef95} * (uint64_t{options.rank} + 1));
}

class TorchModel final : public TrainingModel {
 public:
  // Sets LibTorch's threads and seed, then calls `make` for the network, which draws its initial weights.
  using MakeNetwork = absl::FunctionRef<absl::StatusOr<std::shared_ptr<Network>>()>;
  absl::Status Make(const ModelOptions& options, std::unique_ptr<Batches> batches, MakeNetwork make);

  std::vector<TensorSpec> tensors() const override;
  Device device() const override { return device_; }
  absl::Span<float> weights() override { return weights_; }
  absl::Span<const float> weights() const override { return weights_; }
  absl::Span<float> gradients() override { return gradients_; }
  absl::Span<const float> buffers() const override { return ElementsOf(flat_buffers_); }
  void WriteBufferDifference(absl::Span<const float> published, absl::Span<float> difference) override;
  void TakePublishedBuffers() override;
  void SetCounters(uint64_t steps) override;
  absl::StatusOr<PassLoss> ForwardBackward(absl::Span<const uint32_t> examples, GradientListener* listener) override;
  absl::StatusOr<Evaluation> Evaluate() override;
  absl::Status Save(const std::string& path) const override;
  std::string State() const override;
  absl::Status SetState(absl::string_view state) override;
  uint32_t file_crc32c() const override { return model_->file_crc32c(); }

 private:
  void SortBuffers();
  void Flatten();
  void WatchGradients();
  bool GradientsAreViews() const;
  PassLoss SendLoss(const torch::Tensor& loss);
  at::Generator Generator() const;
  Device device_;
  std::unique_ptr<Batches> batches_;
  std::unique_ptr<GradientFrontier> frontier_;  // before the model: its hooks refer to it
  std::shared_ptr<Network> model_;
  std::vector<torch::Tensor> parameters_;                            // in model order
  std::vector<std::pair<std::string, torch::Tensor>> own_buffers_;   // float32, likewise
  std::vector<std::pair<std::string, torch::Tensor>> own_counters_;  // int64, likewise
  torch::Tensor flat_weights_;    // [all elements] float32; the parameters are views of it, the buffers are not
  torch::Tensor flat_gradients_;  // likewise their gradients
  torch::Tensor flat_buffers_;    // [elements of the buffers] float32; these are views of it
  absl::Span<float> weights_;     // flat_weights_' elements
  absl::Span<float> gradients_;   // flat_gradients_' elements
  torch::Tensor loss_;            // on a GPU: of the last pass; engine and optimizer read it there
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;  // LibTorch itself keeps them only while in use
};

absl::Status TorchModel::Make(const ModelOptions& options, std::unique_ptr<Batches> batches, MakeNetwork make) {
  device_ = options.device;
  batches_ = std::move(batches);
  SetUpProcess(options.threads, device_);
  torch::manual_seed(options.seed);
  absl::StatusOr<std::shared_ptr<Network>> made = make();
  if (!made.ok()) return made.status();
  model_ = *std::move(made);
  model_->to(TorchDevice(device_));
  SortBuffers();
  Flatten();
  WatchGradients();
  if (model_->uses_generator()) torch::manual_seed(SeedOf(options));  // the weights are the file's
  return absl::OkStatus();
}

void TorchModel::SortBuffers() {
  for (const auto& buffer : model_->named_buffers()) {
    const at::ScalarType type = buffer.value().scalar_type();
    if (type == torch::kFloat) own_buffers_.emplace_back(buffer.key(), buffer.value());
    // Batch normalisation's; of a module from a file others may be there, which nothing changes.
    if (type == torch::kInt64 && absl::EndsWith(buffer.key(), "num_batches_tracked")) {
      own_counters_.emplace_back(buffer.key(), buffer.value());
    }
  }
}

void TorchModel::Flatten() {
  const torch::NoGradGuard no_grad;
  parameters_ = model_->parameters();
  int64_t elements = 0;
  int64_t buffer_elements = 0;
  for (const torch::Tensor& parameter : parameters_) elements += parameter.numel();
  for (const auto& [name, buffer] : own_buffers_) buffer_elements += buffer.numel();
  flat_weights_ = torch::zeros({elements + buffer_elements}, TorchDevice(device_));
  flat_gradients_ = torch::zeros_like(flat_weights_);
  flat_buffers_ = torch::zeros({buffer_elements}, TorchDevice(device_));
  weights_ = ElementsOf(flat_weights_);
  gradients_ = ElementsOf(flat_gradients_);
  int64_t offset = 0;
  for (auto& [name, buffer] : own_buffers_) {
    const torch::Tensor view = flat_buffers_.narrow(0, offset, buffer.numel()).view(buffer.sizes());
    view.copy_(buffer);
    buffer.set_data(view);
    offset += buffer.numel();
  }
  flat_weights_.narrow(0, elements, buffer_elements).copy_(flat_buffers_);
  offset = 0;
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

std::vector<TensorSpec> TorchModel::tensors() const {
  std::vector<TensorSpec> specs;
  for (const auto& parameter : model_->named_parameters()) {
    specs.push_back({parameter.key(), parameter.value().sizes().vec()});
  }
  for (const auto& [name, buffer] : own_buffers_) specs.push_back({name, buffer.sizes().vec(), TensorKind::kBuffer});
  for (const auto& [name, counter] : own_counters_) {
    specs.push_back({name, counter.sizes().vec(), TensorKind::kCounter});
  }
  return specs;
}

void TorchModel::WriteBufferDifference(absl::Span<const float> published, absl::Span<float> difference) {
  if (flat_buffers_.numel() == 0) return;
  const torch::NoGradGuard no_grad;
  const auto part = [this](const float* elements, size_t size) {  // of the buffers
    return torch::from_blob(const_cast<float*>(elements) + size - flat_buffers_.numel(), {flat_buffers_.numel()},
                            flat_buffers_.options());
  };
  const torch::Tensor moved = part(published.data(), published.size()) - flat_buffers_;
  part(difference.data(), difference.size()).copy_(moved.masked_fill_(moved.isfinite().logical_not_(), 0));
}

void TorchModel::TakePublishedBuffers() {
  const torch::NoGradGuard no_grad;
  flat_buffers_.copy_(flat_weights_.narrow(0, flat_weights_.numel() - flat_buffers_.numel(), flat_buffers_.numel()));
}

void TorchModel::SetCounters(uint64_t steps) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, counter] : own_counters_) counter.fill_(static_cast<int64_t>(steps));
}

PassLoss TorchModel::SendLoss(const torch::Tensor& loss) {
  if (!device_.is_gpu) return loss.item<double>();
  loss_ = loss.detach();
  const auto arriving =
      std::make_shared<torch::Tensor>(torch::empty(torch::IntArrayRef(), torch::TensorOptions().pinned_memory(true)));
  arriving->copy_(loss_, /*non_blocking=*/true);
  return {std::shared_ptr<const float>(arriving, arriving->data_ptr<float>()), loss_.data_ptr<float>()};
}

absl::StatusOr<PassLoss> TorchModel::ForwardBackward(absl::Span<const uint32_t> examples, GradientListener* listener) {
  if (examples.empty()) return absl::InvalidArgumentError("a training step needs at least one example");
  for (const uint32_t example : examples) {
    if (example >= batches_->train_end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("example ", example, " is outside the training set of ", batches_->train_end()));
    }
  }
  return CatchTorch([&]() -> absl::StatusOr<PassLoss> {
    model_->train();
    flat_gradients_.zero_();
    const torch::Tensor loss = model_->Loss(batches_->Train(examples));
    const PassLoss mean_loss = SendLoss(loss);
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
    const uint64_t count = batches_->test_count();
    double loss = 0;
    int64_t right = 0;
    int64_t answers = 0;
    for (uint64_t begin = 0; begin < count; begin += batches_->test_part()) {
      const uint64_t examples = std::min(batches_->test_part(), count - begin);
      const BatchScore score = model_->Score(batches_->Test(begin, examples));
      loss += score.loss * static_cast<double>(examples);
      right += score.right;
      answers += score.answers;
    }
    const bool has_accuracy = batches_->has_accuracy() && answers > 0;
    const double accuracy = has_accuracy ? static_cast<double>(right) / static_cast<double>(answers)
                                         : std::numeric_limits<double>::quiet_NaN();
    return Evaluation{loss / static_cast<double>(std::max<uint64_t>(count, 1)), accuracy, count};
  });
}

absl::Status TorchModel::Save(const std::string& path) const {
  return CatchTorch([&] {
    if (const std::optional<std::string> archive = model_->Archive()) return ReplaceFile(path, *archive);
    c10::Dict<std::string, torch::Tensor> tensors;
    // Clones: a view would be written with the whole flat array behind it.
    for (const auto& parameter : model_->named_parameters()) {
      tensors.insert(parameter.key(), parameter.value().detach().cpu().clone());
    }
    for (const auto& buffer : model_->named_buffers()) {
      tensors.insert(buffer.key(), buffer.value().detach().cpu().clone());
    }
    return ReplaceFile(path, PickleTensors(tensors));
  });
}

std::string TorchModel::State() const {
  std::string state;
  ByteWriter to(&state);
  to.Put<uint64_t>(model_->dropout() == nullptr ? 0 : model_->dropout()->state());
  for (const auto& [name, counter] : own_counters_) {
    const torch::Tensor host = counter.cpu();
    to.PutBytes({static_cast<const char*>(host.data_ptr()), host.nbytes()});
  }
  if (model_->uses_generator()) {
    const torch::Tensor generator = Generator().get_state();
    to.PutBytes({static_cast<const char*>(generator.data_ptr()), generator.nbytes()});
  }
  return state;
}

absl::Status TorchModel::SetState(absl::string_view state) {
  ByteReader from(state);
  const uint64_t random = from.Get<uint64_t>();
  std::vector<absl::string_view> contents;
  for (const auto& [name, counter] : own_counters_) {
    contents.push_back(from.GetBytes());
    if (contents.back().size() != counter.nbytes()) from.Fail();
  }
  const absl::string_view generator = model_->uses_generator() ? from.GetBytes() : "";
  if (!from.ok() || !from.left().empty()) return absl::InvalidArgumentError("the counters are of another model");
  if (model_->dropout() != nullptr) model_->dropout()->set_state(random);
  for (size_t i = 0; i < contents.size(); ++i) {
    torch::Tensor host = torch::empty_like(own_counters_[i].second, torch::kCPU);
    std::memcpy(host.data_ptr(), contents[i].data(), contents[i].size());
    own_counters_[i].second.copy_(host);
  }
  if (!model_->uses_generator()) return absl::OkStatus();
  return CatchTorch([&] {
    torch::Tensor host = torch::empty({static_cast<int64_t>(generator.size())}, torch::kUInt8);
    std::memcpy(host.data_ptr(), generator.data(), generator.size());
    Generator().set_state(host);
    return absl::OkStatus();
  });
}

at::Generator TorchModel::Generator() const { return at::globalContext().defaultGenerator(TorchDevice(device_)); }

absl::StatusOr<std::unique_ptr<TrainingModel>> MakeTorchModel(const ModelOptions& options,
                                                              std::unique_ptr<Batches> batches,
                                                              TorchModel::MakeNetwork make) {
  auto model = std::make_unique<TorchModel>();
  absl::Status status = CatchTorch([&] { return model->Make(options, std::move(batches), make); });
  if (!status.ok()) return status;
  return model;
}

// A TorchScript module, tried with the first examples.
absl::StatusOr<std::unique_ptr<TrainingModel>> MakeFromFile(const ModelOptions& options,
                                                            std::unique_ptr<Batches> batches) {
  const Batches& examples = *batches;
  return MakeTorchModel(options, std::move(batches), [&]() -> absl::StatusOr<std::shared_ptr<Network>> {
    absl::StatusOr<std::shared_ptr<ScriptNetwork>> network = ScriptNetwork::Load(options.name, options.loss);
    if (!network.ok()) return network.status();
    (*network)->to(TorchDevice(options.device), /*non_blocking=*/false);
    if (absl::Status status = (*network)->Try(examples); !status.ok()) return status;
    return *std::move(network);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Create(const ModelOptions& options,
                                                                     const ArrayDataset* data) {
  if (!IsModelFile(options.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--model=", options.name, " cannot learn arrays: give a TorchScript file"));
  }
  return MakeFromFile(options, MakeBatches(data, options.device));
}

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Create(const ModelOptions& options,
                                                                     const ImageDataset* data) {
  if (IsShapesModel(options.name)) {
    auto model = std::make_unique<ShapesModel>(ShapesModelOptions{options.seed, options.rank, options.compute});
    if (absl::Status status = model->MoveTo(options.device); !status.ok()) return status;
    return model;
  }
  if (options.name == kGptName) {
    return absl::InvalidArgumentError("--model=gpt learns text, not images: name it with --data");
  }
  std::unique_ptr<Batches> batches = MakeBatches(data, options.device);
  if (IsModelFile(options.name)) return MakeFromFile(options, std::move(batches));
  return MakeTorchModel(options, std::move(batches), [&]() -> absl::StatusOr<std::shared_ptr<Network>> {
    return MakeModel(options.name, {data->train.rows, data->train.cols, data->classes, SeedOf(options)});
  });
}

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Create(const ModelOptions& options,
                                                                     const TextDataset* data) {
  if (options.name != kGptName) {
    return absl::InvalidArgumentError(absl::StrCat("--model=", options.name, " cannot learn text: use gpt"));
  }
  GptOptions gpt = options.gpt;
  gpt.context = data->context;
  if (absl::Status status = Validate(gpt); !status.ok()) return status;
  return MakeTorchModel(options, MakeBatches(data, options.device),
                        [&]() -> absl::StatusOr<std::shared_ptr<Network>> { return MakeGpt(gpt); });
}

}  // namespace cddp
