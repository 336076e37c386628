// The processes of a run on this machine: servers, then workers, until all of them are done.

#ifndef DEPLOY_CTL_LAUNCHER_H_
#define DEPLOY_CTL_LAUNCHER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "deploy/ctl/progress.h"
#include "deploy/ctl/run_end.h"
#include "deploy/ctl/status_client.h"
#include "deploy/ctl/supervisor.h"

namespace cddp::ctl {

// A worker's command line and environment.
struct WorkerCommand {
  std::vector<std::string> argv;         // argv[0] is the path of the program
  std::vector<std::string> environment;  // "NAME=value", added to ours
  ChildOutput output = ChildOutput::kStdoutToPipe;
};

struct LaunchPlan {
  int servers = 0;                     // to start
  std::vector<std::string> addresses;  // of servers that run already; then `servers` is 0
  int workers = 0;                     // to start
  int first_rank = 0;                  // of these workers
  bool durable = false;                // killed processes are restarted
  std::string log_folder;
  std::string left_behind;         // the files that an interrupted run leaves: "the logs are in runs/mine"
  bool worker_exit_codes = false;  // the run ends with the exit code of the worker that failed, not with 1
  std::function<std::vector<std::string>(int shard)> server;  // command line; argv[0] is the path of the program
  std::function<WorkerCommand(int worker, const std::vector<std::string>& addresses)> worker;  // worker: from 0
};

// Handles the events of a run's processes, for one kind of run. Called by the launcher's thread.
class LaunchListener {
 public:
  virtual ~LaunchListener() = default;

  // A line from a worker's pipe.
  virtual void WorkerSaid(int worker, const std::string& line) = 0;

  // Whether a worker that ended has done its work.
  virtual bool EndedWell(int worker, const ChildProcess& child) = 0;

  // Whether a killed worker could continue if it were restarted. Otherwise it would end again.
  virtual bool CanGoOn(int worker) = 0;

  // Called about once a second. An end ends the run.
  virtual std::optional<RunEnd> Look() { return std::nullopt; }
};

// The last line of a process's log, without its program's name; empty if there is none.
std::string LastWord(const ChildProcess& child);

// Use it once, in the main thread; at most one exists at a time.
class Launcher {
 public:
  // The arguments must outlive the launcher.
  Launcher(const LaunchPlan* plan, LaunchListener* listener, Progress* progress);

  // Takes over the process's signals. Call it before Drive().
  absl::Status Prepare();

  // Starts the servers, then the workers, and handles their events. Returns when all workers and then all servers have
  // ended well, when one failed, or when a signal asks to end. `before_servers_end` is called when the workers have
  // ended.
  RunEnd Drive(const std::function<void()>& before_servers_end);

  // Ends the processes that still run. `saves_state`: they save their state if they get time to end by themselves.
  void EndAll(const RunEnd& end, bool saves_state);

  // The servers' status, in the order of shards; takes up to a second or two.
  std::vector<ServerStatus> Query(absl::Duration timeout);

  // Notes progress: the time without progress begins now.
  void NoteProgress();

  // Empty until that server listens.
  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  std::optional<RunEnd> StartServers();
  std::optional<RunEnd> StartWorkers();

  // Handles events until `condition` holds (nullopt), something ends the run, or the deadline passes: then the end is
  // a failure with the message that `late` makes.
  std::optional<RunEnd> Until(const std::function<bool()>& condition, absl::Time deadline = absl::InfiniteFuture(),
                              const std::function<std::string()>& late = nullptr);
  void Handle(const ChildLine& line);
  std::optional<RunEnd> Handle(const ChildExit& exit);
  RunEnd ChildFailed(const ChildProcess& child, bool is_worker) const;

  // Start a process again that was killed; false if it could not go on.
  bool RestartServer(int shard);
  bool RestartWorker(int worker);
  std::optional<size_t> StartAgain(ChildSpec spec, const std::string& from);
  ChildSpec ServerSpec(int shard) const;
  ChildSpec WorkerSpec(int worker) const;
  std::string LogPath(std::string name) const;  // of a process
  void NoteQuiet();                             // after a long time without progress, prints whom the cluster waits for

  const LaunchPlan& plan_;
  LaunchListener* const listener_;
  Progress* const progress_;
  std::unique_ptr<Supervisor> supervisor_;  // children: the servers, the workers, then those started again
  std::vector<size_t> server_children_;     // by shard: the child that runs it
  std::vector<bool> server_listens_;        // by shard: that child
  std::vector<size_t> worker_children_;     // by worker: the child that runs it
  std::vector<std::string> addresses_;
  int restarts_ = 0;
  int running_servers_ = 0;
  int running_workers_ = 0;
  bool servers_may_end_ = false;
  std::unique_ptr<StatusClient> status_;  // once it is needed: it starts threads
  absl::Duration progress_at_;            // MonotonicNow() of the last progress
  absl::Duration quiet_limit_;            // time without progress until a line is printed; doubles each time
  absl::Time looked_at_ = absl::InfinitePast();
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_LAUNCHER_H_
