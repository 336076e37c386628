// The models a worker can train, by name. LibTorch modules with PyTorch's names for their parameters.

#ifndef WORKER_MODEL_MODELS_H_
#define WORKER_MODEL_MODELS_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/model/batches.h"
#include "worker/model/dropout.h"

namespace cddp {

// The quality of a model's answers to a batch.
struct BatchScore {
  double loss = 0;      // mean of the batch
  int64_t right = 0;    // correct answers
  int64_t answers = 0;  // all answers; 0: they have no notion of correct
};

class Network : public torch::nn::Module {
 public:
  // The batch's mean loss, a scalar to go backward from.
  virtual torch::Tensor Loss(const Batch& batch) = 0;
  // Without gradients.
  virtual BatchScore Score(const Batch& batch) = 0;

  // The model's source of random numbers; null: none.
  virtual Dropout* dropout() { return nullptr; }
  // Whether it draws from LibTorch's default generator in training.
  virtual bool uses_generator() const { return false; }

  // The bytes of the whole trained module, with parameters in host memory, if it is more than parameters and buffers by
  // name.
  virtual std::optional<std::string> Archive() const { return std::nullopt; }
  // crc32c of the file that it comes from; 0: none.
  virtual uint32_t file_crc32c() const { return 0; }
};

// A network that returns logits and is trained by their cross entropy.
class Classifier : public Network {
 public:
  // Of image models, `inputs` are float32 [batch, 1, rows, cols], contiguous, and the logits [batch, classes].
  virtual torch::Tensor forward(const torch::Tensor& inputs) = 0;

  torch::Tensor Loss(const Batch& batch) final;
  BatchScore Score(const Batch& batch) final;
};

struct ImageOptions {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t classes = 0;
  uint64_t dropout_seed = 0;
};

// Makes the image model called `name`; its initial weights come from LibTorch's default generator. InvalidArgument for
// an unknown name or images that are too small.
absl::StatusOr<std::shared_ptr<Classifier>> MakeModel(const std::string& name, const ImageOptions& options);

// Two hidden layers of 256 and 128: fc1, fc2, fc3.
std::shared_ptr<Classifier> MakeMlp(const ImageOptions& options);

// PyTorch's MNIST example: conv1 and conv2 of 3x3, pooling, dropout, fc1, dropout, fc2. InvalidArgument below 6x6.
absl::StatusOr<std::shared_ptr<Classifier>> MakeSimpleCnn(const ImageOptions& options);

// conv1 and conv2 of 3x3 with stride 2, each with batch normalisation, fc: small and quick.
std::shared_ptr<Classifier> MakeBnCnn(const ImageOptions& options);

// torchvision's resnet18 with one input channel.
std::shared_ptr<Classifier> MakeResnet18(const ImageOptions& options);

}  // namespace cddp

#endif  // WORKER_MODEL_MODELS_H_
