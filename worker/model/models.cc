#include "worker/model/models.h"

#include <torch/nn/functional/loss.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/model_names.h"

namespace cddp {
namespace {

// The mean over all rows of logits.
torch::Tensor MeanLoss(const torch::Tensor& logits, const torch::Tensor& targets) {
  return torch::nn::functional::cross_entropy(logits.view({-1, logits.size(-1)}), targets.view({-1}));
}

}  // namespace

torch::Tensor Classifier::Loss(const Batch& batch) { return MeanLoss(forward(batch.inputs), batch.targets); }

BatchScore Classifier::Score(const Batch& batch) {
  const torch::Tensor logits = forward(batch.inputs);
  return {MeanLoss(logits, batch.targets).item<double>(), logits.argmax(-1).eq(batch.targets).sum().item<int64_t>(),
          batch.targets.numel()};
}

absl::StatusOr<std::shared_ptr<Classifier>> MakeModel(const std::string& name, const ImageOptions& options) {
  if (name == "mlp") return MakeMlp(options);
  if (name == "simple_cnn") return MakeSimpleCnn(options);
  if (name == "bn_cnn") return MakeBnCnn(options);
  if (name == "resnet18") return MakeResnet18(options);
  return absl::InvalidArgumentError(absl::StrCat("unknown model '", name, "': use ", absl::StrJoin(kModelNames, ", ")));
}

}  // namespace cddp
