// The models a worker can train, by name. LibTorch modules with PyTorch's names for their parameters.

#ifndef WORKER_MODEL_MODELS_H_
#define WORKER_MODEL_MODELS_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/model/dropout.h"

namespace cddp {

class ImageModel : public torch::nn::Module {
 public:
  // `images` is float32 [batch, 1, rows, cols], contiguous; returns logits [batch, classes].
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;

  // Its source of random numbers; null: none.
  virtual Dropout* dropout() { return nullptr; }
};

struct ImageModelOptions {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t classes = 0;
  uint64_t dropout_seed = 0;
};

// Makes the model called `name`; its initial weights come from LibTorch's default generator. InvalidArgument for an
// unknown name or images that are too small.
absl::StatusOr<std::shared_ptr<ImageModel>> MakeModel(const std::string& name, const ImageModelOptions& options);

// Two hidden layers of 256 and 128: fc1, fc2, fc3.
std::shared_ptr<ImageModel> MakeMlp(const ImageModelOptions& options);

// PyTorch's MNIST example: conv1 and conv2 of 3x3, pooling, dropout, fc1, dropout, fc2. InvalidArgument below 6x6.
absl::StatusOr<std::shared_ptr<ImageModel>> MakeSimpleCnn(const ImageModelOptions& options);

// torchvision's resnet18 with one input channel.
std::shared_ptr<ImageModel> MakeResnet18(const ImageModelOptions& options);

}  // namespace cddp

#endif  // WORKER_MODEL_MODELS_H_
