// Runs the real `cddp` with scripts in place of servers and workers (fake_server, fake_worker).

#ifndef TESTS_UNIT_CTL_RUN_CDDP_H_
#define TESTS_UNIT_CTL_RUN_CDDP_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "deploy/ctl/child_process.h"
#include "tests/support/temp_folder.h"

namespace cddp::ctl {

struct Finished {
  int exit_code = -1;  // as a shell sees it: 128 + signal if it was killed
  std::string out;
  std::string err;
};

// A folder with cddp, the stand-ins as cddp-server and cddp-worker, and an empty data set in data/mnist; it is the
// working folder of whatever runs.
class CddpFolder {
 public:
  CddpFolder();

  // To the end. `environment` is "NAME=value NAME=value".
  Finished Run(const std::string& arguments, const std::string& environment = "") const;

  // In the background; standard output comes through the process's pipe, standard error goes to File("stderr").
  ChildProcess Start(const std::string& arguments, const std::string& environment = "") const;

  std::string File(absl::string_view name) const { return folder_.File(name); }

  // The number that the lock of a run's folder names.
  std::string LockHolder(absl::string_view output) const;

  // The processes that wrote themselves into the file "pids" (see FAKE_PIDS).
  std::vector<pid_t> Pids() const;

 private:
  TempFolder folder_;
};

struct BadInput {
  const char* arguments;
  const char* error;  // part of the line that says what is wrong
};

// Expects code 2, one line on standard error and nothing on standard output.
void ExpectRefused(const CddpFolder& folder, const BadInput& bad);

// '-' if there is no such process, else a letter as in ps(1): 'Z' has ended, 'T' is stopped.
char ProcessState(pid_t pid);

// Neither there nor a zombie that waits for its parent.
bool HasEnded(pid_t pid);

}  // namespace cddp::ctl

#endif  // TESTS_UNIT_CTL_RUN_CDDP_H_
