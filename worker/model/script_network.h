// A model from a TorchScript file: torch.jit.save(torch.jit.script(module), "model.pt").

#ifndef WORKER_MODEL_SCRIPT_NETWORK_H_
#define WORKER_MODEL_SCRIPT_NETWORK_H_

#include <torch/script.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/loss_choice.h"
#include "worker/model/models.h"

namespace cddp {

// Its float32 parameters that require a gradient are trained, and registered here under their names, with the buffers.
// Parameters that require none keep the file's values. Its programs run without TorchScript's optimiser, whose code
// after some calls rounds differently, because a repeated step must give the same bits.
class ScriptNetwork final : public Network {
 public:
  // The module on the processor. NotFound or InvalidArgument, naming the file, if it cannot be read, holds no
  // TorchScript module, or one that cannot be trained: without parameters or forward method, with parameters of another
  // type than float32, or without the method `loss` asks for.
  static absl::StatusOr<std::shared_ptr<ScriptNetwork>> Load(const std::string& path, LossChoice loss);

  // Makes a step and an evaluation with the first examples, without any change. InvalidArgument says what the module or
  // its loss cannot do with them, or which buffer changes that workers cannot keep equal.
  absl::Status Try(const Batches& batches);

  torch::Tensor Loss(const Batch& batch) override;
  BatchScore Score(const Batch& batch) override;
  bool uses_generator() const override { return true; }
  std::optional<std::string> Archive() const override;
  uint32_t file_crc32c() const override { return crc32c_; }

  // Of torch::nn::Module, which knows the tensors alone.
  void train(bool on) override;
  void to(torch::Device device, bool non_blocking) override;
  using torch::nn::Module::to;

 private:
  ScriptNetwork(std::string path, torch::jit::Module module, LossChoice loss, uint32_t crc32c)
      : path_(std::move(path)), module_(std::move(module)), loss_(loss), crc32c_(crc32c) {}

  absl::Status ChooseLoss();
  absl::Status RegisterParameters();
  void Register(const std::string& name, const torch::Tensor& tensor, bool is_buffer);
  absl::Status TryStep(const Batch& batch, const TargetRange& range);
  absl::Status CheckOutputs(const Batch& batch, const TargetRange& range);
  absl::Status Wrong(absl::string_view what) const;

  torch::jit::IValue Forward(const torch::Tensor& inputs);
  torch::Tensor LossOf(const torch::jit::IValue& outputs, const torch::Tensor& targets);

  const std::string path_;
  torch::jit::Module module_;
  LossChoice loss_;  // never kAuto once it is loaded
  const uint32_t crc32c_;
};

}  // namespace cddp

#endif  // WORKER_MODEL_SCRIPT_NETWORK_H_
