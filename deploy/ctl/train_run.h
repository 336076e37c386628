// One `cddp train`, from the first process to the last line.

#ifndef DEPLOY_CTL_TRAIN_RUN_H_
#define DEPLOY_CTL_TRAIN_RUN_H_

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/launcher.h"
#include "deploy/ctl/progress.h"
#include "deploy/ctl/report.h"
#include "deploy/ctl/run_end.h"
#include "deploy/ctl/run_result.h"
#include "deploy/ctl/train_history.h"
#include "deploy/ctl/worker_events.h"

namespace cddp::ctl {

// The programs to start.
struct Binaries {
  std::string server;
  std::string worker;
};

// Lets a launcher start the servers and the workers, shows the workers' events, updates report and plot after each
// epoch, and judges the result. Use it once, in the main thread.
class TrainRun : private LaunchListener {
 public:
  // The output folder exists. `progress` outlives this object.
  TrainRun(const TrainOptions& options, const Binaries& binaries, Progress* progress);

  // Returns the exit code of `cddp train`; no child is left when it does.
  int Run();

 private:
  void WorkerSaid(int worker, const std::string& line) override;
  bool EndedWell(int worker, const ChildProcess& child) override;
  bool CanGoOn(int worker) override;

  LaunchPlan Plan();
  // After all processes ended well: judges whether the result is what was asked for.
  RunEnd Judge();
  std::optional<uint64_t> ServersVersion();
  // Whether processes save more if they get time to end by themselves.
  bool KeepsState() const;
  void Restore();                                                    // loads the history of a run that is resumed
  void Remember(const WorkerEvent& event, const std::string& line);  // for Restore()
  void ShowNewEpochs();
  absl::Status Save(const RunEnd& end) const;  // report and plot
  void PrintSummary() const;

  const TrainOptions options_;
  const Binaries binaries_;
  Progress* const progress_;
  const absl::Time started_at_;
  const LaunchPlan plan_;
  Launcher launcher_;
  std::vector<bool> worker_joined_;  // by rank: the process that runs it
  TrainHistory history_;
  bool model_shown_ = false;
  size_t shown_epochs_ = 0;
  std::string weights_crc32c_;
  std::optional<uint64_t> servers_version_;
  std::string worker_problem_;  // of the first worker that completed its training and then failed
  RunResult result_;
  std::ofstream events_;  // only of a durable run
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_TRAIN_RUN_H_
