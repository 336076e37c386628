// A child process that we started and must end.

#ifndef DEPLOY_CTL_CHILD_PROCESS_H_
#define DEPLOY_CTL_CHILD_PROCESS_H_

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp::ctl {

// Where a child's output goes; each child has its own log file.
enum class ChildOutput {
  kStdoutToPipe,  // standard output to the pipe, standard error to the log
  kAllToPipe,     // both to the pipe; what is read there is copied to the log
  kAllToLog,      // both to the log; the pipe stays empty
};

struct ChildSpec {
  std::string name;                           // for people: "worker 3"
  std::vector<std::string> argv;              // argv[0] is the path of the program
  std::string log_path;                       // an old file is replaced
  std::vector<std::string> environment = {};  // "NAME=value"; replaces ours of that name
  ChildOutput output = ChildOutput::kStdoutToPipe;
};

// A running or ended child. Unless the spec says otherwise, its standard input is /dev/null, its standard output a pipe
// that we read in lines, its standard error a file (which the child writes itself, so its last lines are not lost even
// if we are killed). It leads a process group: Ctrl-C at the terminal reaches only us, and we decide how the child
// ends; processes that it has started in that group end with it.
//
// The kernel kills the child with SIGKILL when the thread that called Spawn ends; that must be the main thread. Not
// thread-safe. The destructor closes the pipe and leaves the process alone: Supervisor ends it.
class ChildProcess {
 public:
  // `signals`: the child's initial signal mask.
  static absl::StatusOr<ChildProcess> Spawn(const ChildSpec& spec, const sigset_t& signals);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess();

  const std::string& name() const { return name_; }
  const std::string& log_path() const { return log_path_; }
  bool running() const { return !wait_status_.has_value(); }
  int wait_status() const { return *wait_status_; }  // as of waitpid(); only once it has ended

  // The pipe to poll for reading, -1 when it has been closed.
  int stdout_fd() const { return stdout_fd_; }

  // Reads the pipe without waiting and returns the lines completed (without '\n'). At the end of the pipe the rest
  // counts as a line, too, and the pipe is closed.
  std::vector<std::string> ReadLines();

  // Returns whether the child has ended. Then reaps it, and kills the rest of its process group. Does not wait.
  bool TryReap();

  // Sends a signal to the child and its process group.
  void Kill(int signal) const;

 private:
  ChildProcess(const ChildSpec& spec, pid_t pid, int stdout_fd, int log_fd)
      : name_(spec.name), log_path_(spec.log_path), pid_(pid), stdout_fd_(stdout_fd), log_fd_(log_fd) {}

  std::string name_;
  std::string log_path_;
  pid_t pid_;
  int stdout_fd_;
  int log_fd_;  // -1: the child alone writes the log
  std::string partial_line_;
  std::optional<int> wait_status_;
};

// "exit code 2" or "signal SIGSEGV (Segmentation fault)".
std::string DescribeWaitStatus(int wait_status);

// The last non-empty lines of a file, at most `count`; none if it cannot be read.
std::vector<std::string> LastLines(const std::string& path, size_t count);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_CHILD_PROCESS_H_
