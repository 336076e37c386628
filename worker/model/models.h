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

class Network : public torch::nn::Module {
 public:
  // Of image models, `inputs` are float32 [batch, 1, rows, cols], contiguous, and the logits [batch, classes].
  virtual torch::Tensor forward(const torch::Tensor& inputs) = 0;

  // Its source of random numbers; null: none.
  virtual Dropout* dropout() { return nullptr; }
};

struct ImageOptions {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t classes = 0;
  uint64_t dropout_seed = 0;
};

// Makes the image model called `name`; its initial weights come from LibTorch's default generator. InvalidArgument for
// an unknown name or images that are too small.
absl::StatusOr<std::shared_ptr<Network>> MakeModel(const std::string& name, const ImageOptions& options);

// Two hidden layers of 256 and 128: fc1, fc2, fc3.
std::shared_ptr<Network> MakeMlp(const ImageOptions& options);

// PyTorch's MNIST example: conv1 and conv2 of 3x3, pooling, dropout, fc1, dropout, fc2. InvalidArgument below 6x6.
absl::StatusOr<std::shared_ptr<Network>> MakeSimpleCnn(const ImageOptions& options);

// conv1 and conv2 of 3x3 with stride 2, each with batch normalisation, fc: small and quick.
std::shared_ptr<Network> MakeBnCnn(const ImageOptions& options);

// torchvision's resnet18 with one input channel.
std::shared_ptr<Network> MakeResnet18(const ImageOptions& options);

}  // namespace cddp

#endif  // WORKER_MODEL_MODELS_H_
