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

// A worker's command line and what else its start needs.
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
  bool durable = false;                // whoever is killed is started again
  std::string log_folder;
  std::string left_behind;         // what a run that is interrupted leaves: "the logs are in runs/mine"
  bool worker_exit_codes = false;  // the run ends with the exit code of the worker that failed, not with 1
  std::function<std::vector<std::string>(int shard)> server;  // command line; argv[0] is the path of the program
  std::function<WorkerCommand(int worker, const std::vector<std::string>& addresses)> worker;  // worker: from 0
};

// What a kind of run does with what its processes tell. Called by the launcher's thread.
class LaunchListener {
 public:
  virtual ~LaunchListener() = default;

  // A line of a worker's pipe.
  virtual void WorkerSaid(int worker, const std::string& line) = 0;

  // Has a worker that ended done what it should?
  virtual bool EndedWell(int worker, const ChildProcess& child) = 0;

  // Can a worker that was killed go on where it was, if it is started again? Otherwise it would end again.
  virtual bool CanGoOn(int worker) = 0;

  // Called about once a second. An end ends the run.
  virtual std::optional<RunEnd> Look() { return std::nullopt; }
};

// The last line that a process has written, without its program's name; empty if there is none.
std::string LastWord(const ChildProcess& child);

// To be used once, by the main thread; one exists at a time.
class Launcher {
 public:
  // All outlive the launcher.
  Launcher(const LaunchPlan* plan, LaunchListener* listener, Progress* progress);

  // Takes over the process's signals; before Drive().
  absl::Status Prepare();

  // Starts the servers, then the workers, and hears them. Returns when all workers and then all servers have ended
  // well, when one failed, or when a signal asks for the end. `before_servers_end` is called when the workers have
  // ended.
  RunEnd Drive(const std::function<void()>& before_servers_end);

  // Ends what still runs. `saves_state`: processes that end by themselves leave more than those that are killed.
  void EndAll(const RunEnd& end, bool saves_state);

  // What the servers tell, in the order of shards; takes up to a second or two.
  std::vector<ServerStatus> Query(absl::Duration timeout);

  // There is progress: a silence begins now.
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
  void NoteQuiet();  // says whom the cluster waits for, if there has been no progress for long

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
  absl::Duration quiet_limit_;            // a longer silence is worth a line; doubles with each
  absl::Time looked_at_ = absl::InfinitePast();
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_LAUNCHER_H_
