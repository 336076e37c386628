// The training loop of one worker: batches, gradients, exchange, evaluation, the saved model.

#ifndef WORKER_TRAINER_TRAINER_H_
#define WORKER_TRAINER_TRAINER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/device_choice.h"
#include "common/config/loss_choice.h"
#include "common/config/ratio_choice.h"
#include "common/config/steps_choice.h"
#include "common/optimizer/optimizer.h"
#include "worker/buckets/gradient_compressor.h"
#include "worker/cluster/grpc_cluster_options.h"
#include "worker/model/gpt_options.h"
#include "worker/optimizer/optimizer_choice.h"

namespace cddp {

struct TrainerOptions {
  std::string model = "simple_cnn";
  std::string data_dir = "data/mnist";  // of images
  std::string data;                     // text, which gpt learns, or arrays, which a model from a file may
  LossChoice loss = LossChoice::kAuto;  // of a model from a file
  GptOptions gpt;
  uint64_t train_examples = 0;  // 0: all
  uint64_t test_examples = 0;
  uint32_t epochs = 5;
  uint32_t batch_size = 64;  // of this worker
  uint64_t seed = 42;
  OptimizerChoice optimizer;    // the worker's own; none: the servers' makes the steps
  OptimizerOptions step;        // of the worker's own optimizer, but for its kind
  std::string param_groups;     // likewise; see ParseParameterGroups
  RatioChoice ratio;            // if it is fixed, exchange.compressor has it
  std::string ratio_log;        // with --ratio=auto: file of its decisions; empty: beside the checkpoints, if any
  StepsChoice local_steps;      // likewise: steps between two exchanges
  std::string local_steps_log;  // with --local_steps=auto: file of what was decided; empty: none
  uint32_t overlap = 0;      // likewise: steps of the next round while the exchange of the last is under way; 0: none
  bool sparse_adam = false;  // may the servers' optimizer be Adam although not every element is pushed?
  int threads = 1;           // of LibTorch
  DeviceChoice device;
  bool check_engine = false;  // compare every bucket's bytes with the host engine's (worker/buckets/checked_buckets.h)
  absl::Duration compute = absl::Milliseconds(500);  // of a step of a model of shapes alone
  uint64_t bucket_elements = 0;                      // 0: by the model's size
  GradientCompressorOptions exchange;
  GrpcClusterOptions cluster;
  std::string metrics_listen;                       // empty: no metrics port
  std::string tensorboard;                          // folder for event files of rank 0; empty: none
  std::string trace;                                // file for a trace (common/trace/trace_file.h); empty: none
  std::string model_output;                         // where rank 0 saves the trained model; empty: nowhere
  absl::Duration save_timeout = absl::Seconds(60);  // how long to try to save it: the disk may be full
  bool stop_on_non_finite = false;
  uint64_t max_skipped_steps = 20;  // exchanges refused in a row that end the training with an error; 0: any number
  bool without_checkpoint = false;  // go on although the run's checkpoint of this worker is not in checkpoint_dir
  std::string checkpoint_dir;       // empty: no checkpoints, and none to go on from
  uint64_t checkpoint_every = 100;  // exchanges; 0: only at the end and when stopped
  bool json_progress = false;
  std::function<bool()> should_stop;  // asked before each exchange's steps; empty: train to the end

  // The worker's own optimizer, which is not none.
  OptimizerOptions own_optimizer() const {
    OptimizerOptions own = step;
    own.kind = *optimizer.kind;
    return own;
  }
};

// Trains to the end. FailedPrecondition if most steps were skipped, too many in a row, or the last loss is not finite:
// what was trained then is not what was asked for, though it is saved. Errors say what to do; nothing is left running.
// Cancelled if it was told to stop: the step under way was finished, and its state is in a checkpoint, or, without
// checkpoints, the servers know that this worker has left.
absl::Status RunTraining(const TrainerOptions& options);

// What RunTraining checks before it joins: data and model, and that the model can learn the data. Returns the model's
// buckets; more servers have nothing to do.
absl::StatusOr<size_t> CheckTraining(const TrainerOptions& options);

}  // namespace cddp

#endif  // WORKER_TRAINER_TRAINER_H_
