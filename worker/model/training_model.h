// A model under training on one worker: flat arrays of weights and gradients, with LibTorch behind them or, for models
// that only measure the network, nothing (worker/model/shapes_model.h).
//
// All parameters lie, in model order, in one flat array and all their gradients in another; LibTorch's tensors are
// views of the two, so that the exchange reads gradients and writes weights where LibTorch keeps them. The
// published buffers (common/layout/parameter_layout.h) follow the parameters; those that forward passes change are in a
// separate array. Only the headers models.h and dropout.h include LibTorch.

#ifndef WORKER_MODEL_TRAINING_MODEL_H_
#define WORKER_MODEL_TRAINING_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/config/loss_choice.h"
#include "common/layout/parameter_layout.h"
#include "worker/data/array_dataset.h"
#include "worker/data/dataset.h"
#include "worker/data/text_dataset.h"
#include "worker/model/device.h"
#include "worker/model/gpt_options.h"
#include "worker/model/gradient_listener.h"

namespace cddp {

struct ModelOptions {
  std::string name;  // mlp, simple_cnn, bn_cnn, resnet18, gpt or resnet50_shapes; or a TorchScript file
  uint64_t seed = 42;
  uint32_t rank = 0;
  int threads = 1;                                   // of LibTorch, for the whole process
  absl::Duration compute = absl::Milliseconds(500);  // resnet50_shapes: duration of a forward and backward pass
  GptOptions gpt = {};                               // its context must be the text's
  Device device = {};
  LossChoice loss = LossChoice::kAuto;  // of a TorchScript file
};

struct Evaluation {
  double loss = 0;      // mean cross entropy, in nats; of a TorchScript file, as ModelOptions::loss says
  double accuracy = 0;  // in [0, 1]; NaN for language models, and if answers have no notion of correct
  uint64_t examples = 0;
};

// Initial weights depend on the seed alone, dropout on seed and rank: the same options and calls give the same bits in
// every process on one kind of machine; on a GPU except for LibTorch's operations that add in no fixed order. Not
// thread-safe. LibTorch's exceptions come out as Internal errors.
class TrainingModel {
 public:
  // `data` must outlive the model. InvalidArgument for an unknown name, a model for another kind of data, or images
  // that are too small for it.
  // It sets LibTorch's threads for the whole process. In the calling thread, which should also train, it sets the mode
  // that rounds denormal numbers to zero: they are slow and make no difference.
  static absl::StatusOr<std::unique_ptr<TrainingModel>> Create(const ModelOptions& options, const ImageDataset* data);
  static absl::StatusOr<std::unique_ptr<TrainingModel>> Create(const ModelOptions& options, const TextDataset* data);
  // For a TorchScript file, which may be trained on images as well. The file has the initial weights. InvalidArgument
  // also if it cannot make a step with the first examples.
  static absl::StatusOr<std::unique_ptr<TrainingModel>> Create(const ModelOptions& options, const ArrayDataset* data);

  virtual ~TrainingModel() = default;
  TrainingModel(const TrainingModel&) = delete;
  TrainingModel& operator=(const TrainingModel&) = delete;

  // The parameters in model order, then buffers and counters, named as PyTorch names them.
  virtual std::vector<TensorSpec> tensors() const = 0;

  // The device in whose memory the spans below lie: the host accesses a GPU's only by copies.
  virtual Device device() const = 0;

  // All parameters and published buffers, all gradients; valid as long as the model. Weights may be written between
  // calls.
  virtual absl::Span<float> weights() = 0;
  virtual absl::Span<const float> weights() const = 0;
  // From OnLoss on the gradients of the step under way, followed by room for the buffers' differences; with
  // resnet50_shapes their place differs in each step.
  virtual absl::Span<float> gradients() = 0;

  // The model's own buffers, in the order of those at the end of weights(): a training step's forward pass has changed
  // them when OnLoss is called, and Evaluate uses them.
  virtual absl::Span<const float> buffers() const = 0;
  // Writes the buffers' part of a gradient: the end of `published` minus the model's own buffers, and zero where that
  // is not finite (worker/exchange/buffer_difference.h). Both are as long as weights(). On a GPU it is queued.
  virtual void WriteBufferDifference(absl::Span<const float> published, absl::Span<float> difference) = 0;
  // Sets the model's own buffers to those at the end of weights().
  virtual void TakePublishedBuffers() = 0;
  // Sets the counters of training steps, for a model that joins a running training.
  virtual void SetCounters(uint64_t steps) = 0;

  // Mean loss of the training examples with these indices (of text: with these first bytes); the gradients are those of
  // this mean. `listener`, if any, is notified of complete gradients and may then write these elements' weights.
  // On a GPU both passes have been queued when it returns. InvalidArgument for no examples or an index outside the
  // training set.
  virtual absl::StatusOr<PassLoss> ForwardBackward(absl::Span<const uint32_t> examples,
                                                   GradientListener* listener = nullptr) = 0;

  // Over the whole test set, without dropout and with the running statistics of batch normalisation.
  virtual absl::StatusOr<Evaluation> Evaluate() = 0;

  // Writes parameters and buffers as a dictionary from PyTorch's names to tensors, which Python's torch.load opens and
  // load_state_dict takes; of a TorchScript file, the module in evaluation mode, for torch.jit.load. The file is
  // replaced whole or not at all.
  virtual absl::Status Save(const std::string& path) const = 0;

  // Everything on which later steps depend besides weights and buffers: counters and random streams.
  // SetState: InvalidArgument if it is not of such a model.
  virtual std::string State() const = 0;
  virtual absl::Status SetState(absl::string_view state) = 0;

  // crc32c of the file that the model comes from; 0: none.
  virtual uint32_t file_crc32c() const { return 0; }

 protected:
  TrainingModel() = default;
};

}  // namespace cddp

#endif  // WORKER_MODEL_TRAINING_MODEL_H_
