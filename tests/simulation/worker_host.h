// The machine of one simulated worker: processes, one after the other, that train with the product's GradientExchange
// and HostBuckets. A worker's checkpoint is what the product's would hold, written in a moment.

#ifndef TESTS_SIMULATION_WORKER_HOST_H_
#define TESTS_SIMULATION_WORKER_HOST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/simulation/runtime/kernel.h"
#include "tests/simulation/sim_cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp::simulation {

class World;

class WorkerHost {
 public:
  WorkerHost(World* world, uint32_t rank, uint64_t seed);

  // From the simulation itself. Start: nothing if a process is alive.
  void Start();
  void Kill();
  void Freeze(absl::Duration until) {
    if (running()) Kernel::Get().Freeze(&run_->process, until);
  }
  void ForgetCheckpoint() { checkpoint_ = std::nullopt; }
  // Kill; the next process knows of nothing.
  void BeginAnew() {
    Kill();
    ForgetCheckpoint();
    finished_ = false;
  }
  // What the machine's clock says for the next process, besides the true time.
  void set_clock_error(absl::Duration error) { clock_error_ = error; }

  bool running() const { return run_ != nullptr && !run_->process.dead; }
  bool finished() const { return finished_; }
  bool quiet() const { return ending_ == 0; }
  // Of the last process, if it has finished: is its replica, at that version, the same?
  void CheckReplica(uint32_t bucket, uint64_t version, const std::vector<float>& published);
  uint64_t starts() const { return starts_; }
  uint64_t step() const { return step_; }                   // that the present process is in
  uint64_t steps_made() const { return steps_made_; }       // of all processes
  const absl::Status& failure() const { return failure_; }  // of the last process that ended by itself

 private:
  struct Run {
    explicit Run(const std::string& name) : process(name) {}
    Process process;
    std::unique_ptr<SimCluster> cluster;
    std::unique_ptr<GradientExchange> exchange;
    std::vector<float> weights;
    std::vector<double> fed;  // into compression, in all
    uint64_t gradient_seed = 0;
  };
  struct Checkpoint {
    ExchangeState state;
    std::vector<float> weights;
    std::vector<double> fed;
    std::vector<double> accepted;
  };

  void Main(const std::shared_ptr<Run>& run);
  absl::Status Train(Run& run);
  absl::Status Begin(Run& run);
  absl::Status MakeStep(Run& run);
  void CheckStep(Run& run);
  std::vector<float> Gradients(const Run& run, uint64_t step) const;
  bool LossIsFinite(uint64_t step) const;

  World& world_;
  const uint32_t rank_;
  const uint64_t seed_;
  Random random_;
  absl::Duration clock_error_;
  std::shared_ptr<Run> run_;
  std::vector<std::shared_ptr<Run>> past_;  // calls that the network still holds refer to them
  std::optional<Checkpoint> checkpoint_;
  std::vector<uint64_t> last_versions_;  // of the process that has finished
  bool finished_ = false;
  uint64_t step_ = 0;
  uint64_t steps_made_ = 0;
  absl::Status failure_;
  uint64_t starts_ = 0;
  int ending_ = 0;
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_WORKER_HOST_H_
