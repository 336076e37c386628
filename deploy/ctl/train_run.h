// One `cddp train`, from the first process to the last line.

#ifndef DEPLOY_CTL_TRAIN_RUN_H_
#define DEPLOY_CTL_TRAIN_RUN_H_

#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/progress.h"
#include "deploy/ctl/report.h"
#include "deploy/ctl/run_result.h"
#include "deploy/ctl/status_client.h"
#include "deploy/ctl/supervisor.h"
#include "deploy/ctl/train_history.h"
#include "deploy/ctl/worker_events.h"

namespace cddp::ctl {

// The programs to start.
struct Binaries {
  std::string server;
  std::string worker;
};

// Starts the servers, then the workers, shows what they tell, keeps report and plot up to date after each epoch, and
// ends everything: when all workers are done, when one process fails, or when a signal asks for it. To be used once, by
// the main thread.
class TrainRun {
 public:
  // The output folder exists. `progress` outlives this object.
  TrainRun(const TrainOptions& options, const Binaries& binaries, Progress* progress);

  // Returns the exit code of `cddp train`; no child is left when it does.
  int Run();

 private:
  // How the run ended.
  struct End {
    RunState state = RunState::kFinished;
    int exit_code = 0;
    std::string error;  // for people; may have several lines
  };

  End Drive();
  // Where all processes did well: is the result what was asked for?
  End Judge();
  std::optional<uint64_t> ServersVersion();
  // Says whom the cluster waits for, if nobody has told anything for long.
  void NoteQuiet();
  // Do processes that end by themselves leave more than those that are killed?
  bool KeepsState() const;
  std::optional<End> StartServers();
  std::optional<End> StartWorkers();

  // Handles events until `condition` holds (nullopt), something ends the run, or the deadline passes: then the end is
  // a failure with the message that `late` makes.
  std::optional<End> Until(const std::function<bool()>& condition, absl::Time deadline = absl::InfiniteFuture(),
                           const std::function<std::string()>& late = nullptr);
  std::optional<End> Handle(const ChildLine& line);
  std::optional<End> Handle(const ChildExit& exit);

  std::optional<End> Start(const std::string& name, const std::string& program, std::vector<std::string> flags);
  End ChildFailed(const ChildProcess& child) const;
  // Start a process again that was killed, if it can go on from its journal or checkpoint; false if it cannot.
  bool RestartServer(int shard);
  bool RestartWorker(int rank);
  std::optional<size_t> StartAgain(const std::string& name, const std::string& program, std::vector<std::string> flags,
                                   const std::string& from);
  void Restore();                                                    // the history of a run that is resumed
  void Remember(const WorkerEvent& event, const std::string& line);  // for that
  void ShowNewEpochs();
  absl::Status Save(const End& end) const;  // report and plot
  void PrintSummary() const;

  const TrainOptions options_;
  const Binaries binaries_;
  Progress* const progress_;
  const absl::Time started_at_;
  std::unique_ptr<Supervisor> supervisor_;  // children: the servers, the workers, then those started again
  std::vector<size_t> server_children_;     // by shard: the child that runs it
  std::vector<bool> server_listens_;        // by shard: that child
  std::vector<size_t> worker_children_;     // by rank: the child that runs it
  std::vector<bool> worker_joined_;         // by rank: that child
  int restarts_ = 0;
  std::vector<std::string> server_addresses_;  // empty until that server listens
  TrainHistory history_;
  bool model_shown_ = false;
  size_t shown_epochs_ = 0;
  int running_servers_ = 0;
  int running_workers_ = 0;
  bool servers_may_end_ = false;
  std::string weights_crc32c_;
  std::unique_ptr<StatusClient> status_;  // once it is needed: it starts threads
  std::optional<uint64_t> servers_version_;
  std::string worker_problem_;  // of the first worker that was done and then failed
  RunResult result_;
  absl::Duration heard_at_;     // MonotonicNow() of the last line of a child
  absl::Duration quiet_limit_;  // a longer silence is worth a line; doubles with each
  std::ofstream events_;        // only of a durable run
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_TRAIN_RUN_H_
