#include "deploy/ctl/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cddp::ctl {
namespace {

// A longer line is not from our programs; it is cut.
constexpr size_t kMaxLineBytes = 1 << 20;

absl::Status Errno(absl::string_view what) { return absl::ErrnoToStatus(errno, what); }

// Our environment, in which these replace variables of the same names.
std::vector<std::string> EnvironmentWith(const std::vector<std::string>& more) {
  std::vector<std::string> all = more;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view ours = *entry;
    const absl::string_view name = ours.substr(0, ours.find('=') + 1);
    const bool replaced =
        std::any_of(more.begin(), more.end(), [name](const std::string& m) { return absl::StartsWith(m, name); });
    if (!replaced) all.emplace_back(ours);
  }
  return all;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

void WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;  // a full disk must not end the run
    bytes.remove_prefix(wrote);
  }
}

// Runs in the forked child: only async-signal-safe calls. Ends in the program, or writes errno to `error_fd`.
[[noreturn]] void Exec(char* const* argv, char* const* environment, int stdin_fd, int stdout_fd, int stderr_fd,
                       int error_fd, const sigset_t& signals, pid_t parent) {
  const auto fail = [error_fd] {
    const int error = errno;
    (void)!write(error_fd, &error, sizeof(error));
    _exit(127);
  };
  setpgid(0, 0);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail();
  if (getppid() != parent) _exit(127);  // the parent died before prctl(), so no signal will come
  if (dup2(stdin_fd, STDIN_FILENO) < 0 || dup2(stdout_fd, STDOUT_FILENO) < 0 || dup2(stderr_fd, STDERR_FILENO) < 0) {
    fail();
  }
  signal(SIGPIPE, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &signals, nullptr);
  execve(argv[0], argv, environment);
  fail();
  __builtin_unreachable();
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Spawn(const ChildSpec& spec, const sigset_t& signals) {
  std::vector<int> to_close;
  absl::Cleanup close_all = [&to_close] {
    for (int fd : to_close) close(fd);
  };
  const int stdin_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (stdin_fd < 0) return Errno("/dev/null");
  to_close.push_back(stdin_fd);
  const int log_fd = open(spec.log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0) return Errno(spec.log_path);
  to_close.push_back(log_fd);
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return Errno("pipe");
  to_close.insert(to_close.end(), {out[0], out[1]});
  int error[2];  // closed by a successful exec, otherwise carries errno
  if (pipe2(error, O_CLOEXEC) != 0) return Errno("pipe");
  to_close.insert(to_close.end(), {error[0], error[1]});

  const std::vector<char*> argv = Pointers(spec.argv);
  const std::vector<std::string> environment = EnvironmentWith(spec.environment);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const int child_stdout = spec.output == ChildOutput::kAllToLog ? log_fd : out[1];
  const int child_stderr = spec.output == ChildOutput::kAllToPipe ? out[1] : log_fd;

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return Errno(absl::StrCat("cannot start ", spec.name));
  if (pid == 0) {
    Exec(argv.data(), environment_pointers.data(), stdin_fd, child_stdout, child_stderr, error[1], signals, parent);
  }

  close(error[1]);
  to_close.pop_back();
  int child_errno = 0;
  ssize_t got;
  do {
    got = read(error[0], &child_errno, sizeof(child_errno));
  } while (got < 0 && errno == EINTR);
  if (got != 0) {
    waitpid(pid, nullptr, 0);
    return absl::ErrnoToStatus(child_errno, absl::StrCat("cannot start ", spec.name, " (", spec.argv[0], ")"));
  }
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  std::erase(to_close, out[0]);
  const bool copies = spec.output == ChildOutput::kAllToPipe;
  if (copies) std::erase(to_close, log_fd);
  return ChildProcess(spec, pid, out[0], copies ? log_fd : -1);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : name_(std::move(other.name_)),
      log_path_(std::move(other.log_path_)),
      pid_(other.pid_),
      stdout_fd_(std::exchange(other.stdout_fd_, -1)),
      log_fd_(std::exchange(other.log_fd_, -1)),
      partial_line_(std::move(other.partial_line_)),
      wait_status_(other.wait_status_) {}

ChildProcess::~ChildProcess() {
  if (stdout_fd_ >= 0) close(stdout_fd_);
  if (log_fd_ >= 0) close(log_fd_);
}

std::vector<std::string> ChildProcess::ReadLines() {
  std::vector<std::string> lines;
  while (stdout_fd_ >= 0) {
    char chunk[1 << 16];
    const ssize_t got = read(stdout_fd_, chunk, sizeof(chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      close(stdout_fd_);
      stdout_fd_ = -1;
      break;
    }
    if (log_fd_ >= 0) WriteAll(log_fd_, absl::string_view(chunk, got));
    for (absl::string_view rest(chunk, got); !rest.empty();) {
      const size_t end = rest.find('\n');
      const absl::string_view piece = rest.substr(0, end);
      absl::StrAppend(&partial_line_, piece.substr(0, kMaxLineBytes - partial_line_.size()));
      if (end == absl::string_view::npos) break;
      lines.push_back(std::exchange(partial_line_, ""));
      rest.remove_prefix(end + 1);
    }
  }
  if (stdout_fd_ < 0 && !partial_line_.empty()) lines.push_back(std::exchange(partial_line_, ""));
  return lines;
}

bool ChildProcess::TryReap() {
  siginfo_t ended = {};
  if (waitid(P_PID, pid_, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != pid_) return false;
  Kill(SIGKILL);  // before reaping, while no other process can have its number
  int wait_status = 0;
  if (waitpid(pid_, &wait_status, WNOHANG) != pid_) return false;
  wait_status_ = wait_status;
  return true;
}

void ChildProcess::Kill(int signal) const { kill(-pid_, signal); }

std::string DescribeWaitStatus(int wait_status) {
  if (WIFEXITED(wait_status)) return absl::StrCat("exit code ", WEXITSTATUS(wait_status));
  const int signal = WTERMSIG(wait_status);
  const char* name = sigabbrev_np(signal);
  if (name == nullptr) return absl::StrCat("signal ", signal);
  return absl::StrCat("signal SIG", name, " (", sigdescr_np(signal), ")");
}

std::vector<std::string> LastLines(const std::string& path, size_t count) {
  constexpr std::streamoff kTailBytes = 1 << 16;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> lines = absl::StrSplit(text, absl::ByAnyChar("\r\n"), absl::SkipWhitespace());
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - count);
  return lines;
}

}  // namespace cddp::ctl
