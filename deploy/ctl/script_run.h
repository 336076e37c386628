// One `cddp run`: the user's own program as the workers of a cluster.

#ifndef DEPLOY_CTL_SCRIPT_RUN_H_
#define DEPLOY_CTL_SCRIPT_RUN_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/launcher.h"
#include "deploy/ctl/progress.h"
#include "deploy/ctl/run_end.h"
#include "deploy/ctl/status_client.h"

namespace cddp::ctl {

struct ScriptOptions {
  TrainOptions cluster;                // options of servers and folders; `workers`: of all machines together
  std::vector<std::string> addresses;  // of servers that run already; if any, none is started
  int local_workers = 0;               // workers of this machine
  int node_rank = 0;                   // number of this machine
  std::vector<std::string> command;    // of each worker; command[0] is the path of a program
};

// Variables for a worker's environment: CDDP_SERVERS, RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, CDDP_OUTPUT
// (the run's folder), CDDP_RUN (its name, if it has one); of a durable run, CDDP_STATE (a folder for the state
// from which a restarted worker continues); and with --tensorboard, CDDP_TENSORBOARD. Variables of these names
// that we have ourselves, and CDDP_RANK and CDDP_WORKERS, are empty there, which is as good as none.
std::vector<std::string> ScriptEnvironment(const ScriptOptions& options, int worker,
                                           const std::vector<std::string>& addresses);

// Lets a launcher start servers and workers, and shows their status as the servers know it. Rank 0's output appears on
// the terminal. Use it once, in the main thread.
class ScriptRun : private LaunchListener {
 public:
  // The output folder exists. `server`: the program. `progress` outlives this object.
  ScriptRun(const ScriptOptions& options, const std::string& server, Progress* progress);

  // Returns the exit code of `cddp run`: that of the first worker that failed. No child is left when it does.
  int Run();

 private:
  // The status of all servers together.
  struct View {
    uint64_t version = 0;  // of the least advanced bucket; 0: there is no model yet
    uint64_t parameters = 0;
    uint64_t pushed_bytes = 0;
    uint64_t pulled_bytes = 0;
    size_t joined = 0;                   // workers that take part
    std::map<uint32_t, uint64_t> steps;  // by rank: the last step that a worker contributed to; all that ever joined
    std::optional<double> loss;          // mean over the workers that reported one
    std::set<uint32_t> waited_for;       // ranks whose contribution a server lacks
  };

  void WorkerSaid(int worker, const std::string& line) override;
  bool EndedWell(int worker, const ChildProcess& child) override;
  bool CanGoOn(int worker) override;
  std::optional<RunEnd> Look() override;

  LaunchPlan Plan();
  std::optional<View> QueryView();  // nullopt if a server does not answer
  // The servers wait for nobody but workers that have ended and never took part.
  std::optional<RunEnd> NobodyWillCome() const;
  std::vector<std::string> ProgressParts(const View& view) const;
  void PrintSummary() const;
  absl::Status Save(const RunEnd& end) const;  // report.json

  ScriptOptions options_;  // the name of the run may come from its servers
  const std::string server_;
  Progress* const progress_;
  const absl::Time started_at_;
  const LaunchPlan plan_;
  Launcher launcher_;
  View view_;  // of the last query
  std::optional<absl::Time> first_version_at_;
  std::set<uint32_t> ended_;             // ranks of workers that have ended well
  std::vector<int> fruitless_lives_;     // by worker: times in a row that it was killed before it made a step
  std::vector<uint64_t> step_at_death_;  // by worker
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_SCRIPT_RUN_H_
