// The options of `cddp train` or `cddp run`, and the command lines of servers and workers that follow from them.

#ifndef DEPLOY_CTL_CLUSTER_PLAN_H_
#define DEPLOY_CTL_CLUSTER_PLAN_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/codec/encoding.h"
#include "common/config/loss_choice.h"
#include "common/config/model_names.h"
#include "common/config/ratio_choice.h"
#include "common/config/steps_choice.h"

namespace cddp::ctl {

struct TrainOptions {
  std::string model;
  std::string dataset;
  std::string data_dir;
  std::string data;                     // text for gpt, or arrays for a model from a file, instead of the data set
  LossChoice loss = LossChoice::kAuto;  // of a model from a file
  int layers = 4;
  int dim = 128;
  int heads = 0;
  int context = 128;
  int workers = 0;
  int servers = 0;
  int epochs = 0;
  int batch_size = 0;  // per worker
  double lr = 0;       // of the optimizer; 0: see rate()
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  uint64_t seed = 0;
  std::string optimizer = "sgd";
  std::string optimizer_at = "auto";  // or servers, workers
  double outer_lr = 1;                // with the optimizer at the workers: the servers' rate for the mean change
  double outer_momentum = 0;
  bool outer_nesterov = false;
  bool sparse_adam = false;  // Adam at the servers although not every element is pushed
  std::string consistency = "sync";
  int quorum = 0;  // 0: all workers
  int max_staleness = 4;
  int local_steps = 0;                    // 0: 4 where an optimizer other than sgd is at the workers, else 1
  StepsChoice changing_steps = {};        // instead of `local_steps`, unless it is fixed
  int overlap = 0;                        // steps of the next round that overlap the exchange
  std::vector<std::string> server_flags;  // passed on, after the flags that follow from the other members
  std::vector<std::string> worker_flags;
  std::vector<std::string> optimizer_flags;  // for the programs that have the optimizer
  bool compress = false;
  double ratio = 0;                 // 0: 0.1 where the optimizer is at the workers, else 0.01
  RatioChoice changing_ratio = {};  // instead of `ratio`, unless it is fixed
  double publish_ratio = 0;         // 0: as much as was pushed
  ValueEncoding value_encoding = kDefaultValueEncoding;
  IndexEncoding index_encoding = IndexEncoding::kGap8;
  int bucket_bytes = 0;             // 0: the worker chooses
  int train_examples = 0;           // 0: all
  int test_examples = 0;            // 0: all
  int threads = 0;                  // per worker
  std::string device = "cpu";       // of the workers: cpu, cuda, cuda:N or auto
  std::string tensorboard;          // folder for event files; empty: none
  bool trace = false;               // of every worker
  bool durable = false;             // servers keep journals, workers checkpoints, and killed processes are restarted
  bool resume = false;              // continue the run in `output`
  bool without_checkpoint = false;  // resume: workers without one continue from the servers' weights
  std::string run;           // its name (common/agreement/run_identity.h); empty: that of servers that run already
  int checkpoint_every = 0;  // with durable: exchanges between two checkpoints of a worker; 0: by the ratio
  std::string output;        // folder

  bool learns_text() const { return model == kGptName; }
  bool learns_arrays() const { return IsModelFile(model) && !data.empty(); }
  // Whether the optimizer runs at the workers, before compression. One that normalises must, since error feedback
  // passes through linear steps only; sgd may run at the servers, and so may any where every element is sent.
  bool at_workers() const {
    if (optimizer_at != "auto") return optimizer_at == "workers";
    return local_steps > 1 || changes_steps() || (optimizer != "sgd" && compress && ratio != 1);
  }
  // The values in use: without compression every element is sent as fp32. With the same number of bits, fewer and
  // denser exchanges of weight changes lose less (docs/convergence.md).
  int steps_alone() const { return local_steps > 0 ? local_steps : at_workers() && optimizer != "sgd" ? 4 : 1; }
  double push_ratio() const { return !compress ? 1 : ratio > 0 ? ratio : at_workers() ? 0.1 : 0.01; }
  // Adam at a worker divides by the size of its gradient, which is noisier than the mean by up to sqrt(workers). So its
  // steps are smaller by that factor, and a rate that is too low costs more (docs/convergence.md).
  double rate() const {
    if (lr > 0) return lr;
    if (optimizer == "sgd") return 0.05;
    return at_workers() ? 0.001 * std::sqrt(workers) : 0.001;
  }
  double pull_ratio() const { return compress ? publish_ratio : 1; }  // 0: as much as was pushed
  // The largest part of the elements that a reply can hold.
  double most_pulled() const {
    return pull_ratio() > 0 ? pull_ratio() : changes_ratio() ? 1 : std::min(1.0, workers * push_ratio());
  }
  // Whether the number of steps between two exchanges varies.
  bool changes_steps() const { return changing_steps.kind != StepsChoice::Kind::kFixed; }
  // Whether the part that workers send varies from step to step.
  bool changes_ratio() const { return compress && changing_ratio.kind != RatioChoice::Kind::kFixed; }
  // The period in use. Servers must log the changes since a checkpoint: with large changes it must be more recent.
  int checkpoint_period() const { return checkpoint_every > 0 ? checkpoint_every : most_pulled() <= 0.1 ? 50 : 10; }
  // Whether all workers end with the weights of the same version.
  bool ends_equal() const { return consistency == "sync" && quorum == 0; }
  ValueEncoding values() const { return compress ? value_encoding : ValueEncoding::kFp32; }
};

// InvalidArgument names the flag whose value makes no sense.
absl::Status Validate(const TrainOptions& options);

// The same for the options of servers and the numbers of processes.
absl::Status ValidateCluster(const TrainOptions& options);

// Command lines without the program's own name. Servers and workers pick free ports of the loopback interface.
std::vector<std::string> ServerFlags(const TrainOptions& options, int shard);
// Folder of a server's journal.
std::string StatePath(const TrainOptions& options, int shard);
// Folder of the workers' checkpoints.
std::string CheckpointPath(const TrainOptions& options);
std::vector<std::string> WorkerFlags(const TrainOptions& options, int rank,
                                     const std::vector<std::string>& server_addresses);

// The files in the output folder.
std::string ModelPath(const TrainOptions& options);   // the trained model
std::string ReportPath(const TrainOptions& options);  // report.json
std::string PlotPath(const TrainOptions& options);    // report.svg
std::string LogFolder(const TrainOptions& options);   // one file per process
std::string FlagsPath(const TrainOptions& options);   // a durable run's flags, one per line
std::string EventsPath(const TrainOptions& options);  // a durable run's events, the source of its report
// A worker's decisions with --ratio=auto; a run with --ratio=@FOLDER repeats them.
std::string RatioPath(const std::string& folder, int rank);
// All workers' decisions with --local_steps=auto, from worker 0; a run with --local_steps=@FOLDER repeats them.
std::string StepsPath(const std::string& folder);
std::string TracePath(const TrainOptions& options, int rank);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_CLUSTER_PLAN_H_
