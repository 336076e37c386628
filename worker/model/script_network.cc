#include "worker/model/script_network.h"

#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/nn/functional/loss.h>
#include <torch/version.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/codec/crc32c.h"
#include "worker/data/zip_file.h"
#include "worker/model/catch_torch.h"

namespace cddp {
namespace {

namespace functional = torch::nn::functional;

constexpr char kSaveIt[] = "save it in Python with torch.jit.save(torch.jit.script(model), 'model.pt')";
constexpr uint64_t kTried = 4;  // examples: batch normalisation needs more than one

std::string Describe(const torch::Tensor& tensor) {
  return absl::StrCat(std::string(c10::toString(tensor.scalar_type())), " [", absl::StrJoin(tensor.sizes(), ", "), "]");
}

// The line of TorchScript's message that says what is wrong; the others quote the program around it.
std::string Reason(absl::string_view message) {
  std::string reason;
  for (absl::string_view line : absl::StrSplit(message, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (reason.empty() && !line.empty()) reason = std::string(line);
    if (absl::StartsWith(line, "RuntimeError: ")) reason = std::string(absl::StripPrefix(line, "RuntimeError: "));
  }
  return std::string(absl::StripPrefix(reason, "LibTorch: "));
}

// Checks that it holds a program, besides tensors.
absl::Status CheckArchive(const std::string& path) {
  const absl::StatusOr<ZipFile> zip = ZipFile::Open(path);
  if (absl::IsNotFound(zip.status())) return absl::NotFoundError("cannot be read");
  if (!zip.ok()) return absl::InvalidArgumentError(absl::StrCat("is no TorchScript file: ", kSaveIt));
  const std::vector<std::string> names = zip->names();
  const bool has_code = std::any_of(names.begin(), names.end(),
                                    [](const std::string& name) { return absl::StrContains(name, "/code/"); });
  if (has_code) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("holds no TorchScript program; torch.save writes tensors or Python objects alone: ", kSaveIt));
}

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (file.is_open()) bytes << file.rdbuf();
  if (!file.is_open() || file.bad() || bytes.str().empty()) return absl::NotFoundError("cannot be read");
  return bytes.str();
}

// Gives each tensor its own memory while this object lives. Tensors that are parts of one array would be written with
// the whole array, and LibTorch 1.13 takes them for one tensor when it copies a module.
class OwnMemory {
 public:
  OwnMemory(const std::vector<torch::Tensor>& parameters, const std::vector<torch::Tensor>& buffers) {
    for (const std::vector<torch::Tensor>* tensors : {&parameters, &buffers}) {
      for (torch::Tensor tensor : *tensors) {
        parts_.emplace_back(tensor, tensor.detach());
        tensor.set_data(tensor.detach().clone());
      }
    }
  }
  OwnMemory(const OwnMemory&) = delete;
  OwnMemory& operator=(const OwnMemory&) = delete;
  ~OwnMemory() {
    for (auto& [tensor, part] : parts_) tensor.set_data(part);
  }

 private:
  std::vector<std::pair<torch::Tensor, torch::Tensor>> parts_;
};

// Whether `answers` has the shape of logits for a class in each of `targets`.
bool AreClasses(const torch::Tensor& answers, const torch::Tensor& targets) {
  if (targets.scalar_type() != torch::kLong || answers.dim() != targets.dim() + 1 || answers.dim() < 2) return false;
  std::vector<int64_t> expected = targets.sizes().vec();
  expected.insert(expected.begin() + 1, answers.size(1));
  return answers.sizes().vec() == expected;
}

}  // namespace

absl::Status ScriptNetwork::Wrong(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat("--model=", path_, ": ", what));
}

absl::StatusOr<std::shared_ptr<ScriptNetwork>> ScriptNetwork::Load(const std::string& path, LossChoice loss) {
  const auto wrong = [&path](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat("--model=", path, ": ", status.message()));
  };
  if (absl::Status status = CheckArchive(path); !status.ok()) return wrong(status);
  // Read only once, so that the checksum is of the loaded bytes.
  const absl::StatusOr<std::string> bytes = ReadAll(path);
  if (!bytes.ok()) return wrong(bytes.status());
  torch::jit::Module module;
  const absl::Status loaded = CatchTorch([&] {
    std::istringstream from(*bytes);
    module = torch::jit::load(from, torch::kCPU);
    return absl::OkStatus();
  });
  if (!loaded.ok()) {
    return wrong(absl::InvalidArgumentError(
        absl::StrCat("this LibTorch (", TORCH_VERSION, ") cannot load it: ", Reason(loaded.message()))));
  }
  std::shared_ptr<ScriptNetwork> network(
      new ScriptNetwork(path, std::move(module), loss, Crc32c(bytes->data(), bytes->size())));
  if (absl::Status status = network->ChooseLoss(); !status.ok()) return status;
  if (absl::Status status = network->RegisterParameters(); !status.ok()) return status;
  return network;
}

absl::Status ScriptNetwork::ChooseLoss() {
  if (!module_.find_method("forward").has_value()) return Wrong("the module has no method forward");
  const c10::optional<torch::jit::Method> own = module_.find_method("loss");
  if (loss_ == LossChoice::kAuto) loss_ = own.has_value() ? LossChoice::kModule : LossChoice::kCrossEntropy;
  if (loss_ != LossChoice::kModule) return absl::OkStatus();
  constexpr char kHow[] = "def loss(self, outputs, targets), under @torch.jit.export, where forward does not call it";
  if (!own.has_value()) return Wrong(absl::StrCat("--loss=module: the module has no method loss: write ", kHow));
  const size_t arguments = own->function().getSchema().arguments().size() - 1;
  if (arguments == 2) return absl::OkStatus();
  return Wrong(absl::StrCat("its method loss takes ", arguments, " arguments, not 2: write ", kHow));
}

absl::Status ScriptNetwork::RegisterParameters() {
  // By the address of their elements. A tensor shared in Python is two in the file, with the same elements.
  std::map<const void*, torch::Tensor> known;
  size_t trained = 0;
  for (const auto& parameter : module_.named_parameters()) {
    if (!parameter.value.requires_grad()) continue;
    if (parameter.value.scalar_type() != torch::kFloat) {
      return Wrong(absl::StrCat("its parameter ", parameter.name, " is ", Describe(parameter.value),
                                "; only float32 is trained: save model.float()"));
    }
    ++trained;
    const auto [same, is_new] = known.emplace(parameter.value.data_ptr(), parameter.value);
    if (is_new || parameter.value.numel() == 0) {
      Register(parameter.name, parameter.value, /*is_buffer=*/false);
      continue;
    }
    if (same->second.sizes() != parameter.value.sizes() || same->second.strides() != parameter.value.strides()) {
      return Wrong(absl::StrCat("its parameter ", parameter.name, " shares elements with another of another shape"));
    }
    std::vector<std::string> path = absl::StrSplit(parameter.name, '.');
    torch::jit::Module owner = module_;
    for (size_t i = 0; i + 1 < path.size(); ++i) owner = owner.attr(path[i]).toModule();
    owner.setattr(path.back(), same->second);
  }
  if (trained == 0) return Wrong("the module has no parameters that require a gradient (was it frozen?)");
  for (const auto& buffer : module_.named_buffers()) Register(buffer.name, buffer.value, /*is_buffer=*/true);
  return absl::OkStatus();
}

void ScriptNetwork::Register(const std::string& name, const torch::Tensor& tensor, bool is_buffer) {
  std::vector<std::string> path = absl::StrSplit(name, '.');
  torch::nn::Module* owner = this;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const auto children = owner->named_children();
    const std::shared_ptr<torch::nn::Module>* child = children.find(path[i]);
    owner = child != nullptr ? child->get() : owner->register_module(path[i], std::make_shared<Module>()).get();
  }
  if (is_buffer) {
    owner->register_buffer(path.back(), tensor);
  } else {
    owner->register_parameter(path.back(), tensor);
  }
}

void ScriptNetwork::train(bool on) {
  module_.train(on);
  Network::train(on);
}

void ScriptNetwork::to(torch::Device device, bool non_blocking) { module_.to(device, non_blocking); }

torch::jit::IValue ScriptNetwork::Forward(const torch::Tensor& inputs) {
  const torch::jit::GraphOptimizerEnabledGuard as_written(false);
  return module_.forward({inputs});
}

torch::Tensor ScriptNetwork::LossOf(const torch::jit::IValue& outputs, const torch::Tensor& targets) {
  if (loss_ == LossChoice::kModule) {
    const torch::jit::GraphOptimizerEnabledGuard as_written(false);
    return module_.get_method("loss")({outputs, targets}).toTensor();
  }
  const torch::Tensor answers = outputs.toTensor();
  if (loss_ == LossChoice::kCrossEntropy) return functional::cross_entropy(answers, targets);
  const torch::Tensor numbers = targets.to(answers.scalar_type());
  return loss_ == LossChoice::kMse ? functional::mse_loss(answers, numbers)
                                   : functional::binary_cross_entropy_with_logits(answers, numbers);
}

torch::Tensor ScriptNetwork::Loss(const Batch& batch) { return LossOf(Forward(batch.inputs), batch.targets); }

BatchScore ScriptNetwork::Score(const Batch& batch) {
  const torch::jit::IValue outputs = Forward(batch.inputs);
  BatchScore score;
  score.loss = LossOf(outputs, batch.targets).item<double>();
  if (loss_ == LossChoice::kMse || !outputs.isTensor()) return score;
  const torch::Tensor answers = outputs.toTensor();
  torch::Tensor right;
  if (loss_ == LossChoice::kBce) {
    right = answers.gt(0).eq(batch.targets.gt(0.5));
  } else if (AreClasses(answers, batch.targets)) {
    right = answers.argmax(1).eq(batch.targets);
  } else {
    return score;
  }
  score.right = right.sum().item<int64_t>();
  score.answers = right.numel();
  return score;
}

absl::Status ScriptNetwork::Try(const Batches& batches) {
  std::vector<uint32_t> first;
  for (uint32_t i = 0; i < std::min(kTried, batches.train_end()); ++i) first.push_back(i);
  const Batch batch = batches.Train(first);
  const std::vector<torch::Tensor> buffers = this->buffers();
  std::vector<torch::Tensor> before;
  for (const torch::Tensor& buffer : buffers) before.push_back(buffer.clone());
  absl::Status status = TryStep(batch, batches.target_range());
  size_t i = 0;
  for (const auto& buffer : named_buffers()) {
    const bool travels =
        buffer.value().scalar_type() == torch::kFloat || absl::EndsWith(buffer.key(), "num_batches_tracked");
    if (status.ok() && !travels && !buffer.value().equal(before[i])) {
      status = Wrong(absl::StrCat("its buffer ", buffer.key(), ", ", Describe(buffer.value()),
                                  ", changes in training; only those of float32 are kept alike at all workers"));
    }
    const torch::NoGradGuard no_grad;
    torch::Tensor(buffer.value()).copy_(before[i++]);
  }
  for (torch::Tensor& parameter : parameters()) parameter.mutable_grad().reset();
  if (!status.ok()) return status;
  const torch::NoGradGuard no_grad;
  eval();
  status = CatchTorch([&] {
    Score(batches.Test(0, std::min(kTried, batches.test_count())));
    return absl::OkStatus();
  });
  return status.ok() ? status : Wrong(absl::StrCat("it fails in evaluation mode: ", Reason(status.message())));
}

// Refuses outputs that the loss would accept but misinterpret.
absl::Status ScriptNetwork::CheckOutputs(const Batch& batch, const TargetRange& range) {
  torch::jit::IValue outputs;
  absl::Status status = CatchTorch([&] {
    outputs = Forward(batch.inputs);
    return absl::OkStatus();
  });
  if (!status.ok()) {
    return Wrong(absl::StrCat("its method forward cannot take inputs of ", Describe(batch.inputs), ": ",
                              Reason(status.message())));
  }
  if (loss_ == LossChoice::kModule) return absl::OkStatus();
  if (!outputs.isTensor()) {
    return Wrong("its method forward gives something else than one tensor: only a method loss of its own can use that");
  }
  const torch::Tensor answers = outputs.toTensor();
  const std::string both = absl::StrCat("outputs are ", Describe(answers), ", targets ", Describe(batch.targets));
  if (loss_ == LossChoice::kCrossEntropy) {
    if (answers.sizes() == batch.targets.sizes() && batch.targets.is_floating_point() && answers.dim() > 1 &&
        answers.size(1) > 1 && range.least >= 0 && range.most <= 1) {
      return absl::OkStatus();
    }
    if (AreClasses(answers, batch.targets)) {
      const int64_t classes = answers.size(1);
      if (range.least >= 0 && range.most < static_cast<double>(classes)) return absl::OkStatus();
      return Wrong(absl::StrCat("it tells ", classes, " classes apart, 0 to ", classes - 1, "; the targets go from ",
                                range.least, " to ", range.most));
    }
    return Wrong(absl::StrCat("--loss=cross_entropy: ", both,
                              ": outputs must be [batch, classes, ...], and targets integers [batch, ...] or "
                              "probabilities of the outputs' shape; for numbers choose --loss=mse or bce"));
  }
  if (loss_ == LossChoice::kBce && (range.least < 0 || range.most > 1)) {
    return Wrong(absl::StrCat("--loss=bce: targets must be in [0, 1]; they go from ", range.least, " to ", range.most));
  }
  if (answers.sizes() == batch.targets.sizes()) return absl::OkStatus();
  return Wrong(absl::StrCat("--loss=", AbslUnparseFlag(loss_), ": ", both, ": they must have one shape"));
}

absl::Status ScriptNetwork::TryStep(const Batch& batch, const TargetRange& range) {
  train(true);
  if (absl::Status status = CheckOutputs(batch, range); !status.ok()) return status;
  torch::Tensor loss;
  absl::Status status = CatchTorch([&] {
    loss = Loss(batch);
    return absl::OkStatus();
  });
  if (!status.ok()) {
    return Wrong(
        absl::StrCat("its loss fails with targets of ", Describe(batch.targets), ": ", Reason(status.message())));
  }
  if (loss.numel() != 1 || loss.scalar_type() != torch::kFloat) {
    return Wrong(absl::StrCat("its loss is ", Describe(loss), ", not one float32: take the batch's mean"));
  }
  status = CatchTorch([&] {
    loss.backward();
    return absl::OkStatus();
  });
  if (!status.ok()) return Wrong(absl::StrCat("its backward pass fails: ", Reason(status.message())));
  const std::vector<torch::Tensor> all = parameters();
  if (std::any_of(all.begin(), all.end(), [](const torch::Tensor& p) { return p.grad().defined(); })) {
    return absl::OkStatus();
  }
  return Wrong("no parameter gets a gradient from its loss");
}

std::optional<std::string> ScriptNetwork::Archive() const {
  const OwnMemory own(parameters(), buffers());
  torch::jit::Module copy = module_.deepcopy();
  copy.eval();
  copy.to(torch::kCPU);
  std::ostringstream bytes;
  copy.save(bytes);
  return bytes.str();
}

}  // namespace cddp
