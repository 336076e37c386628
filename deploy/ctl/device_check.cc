#include "deploy/ctl/device_check.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/clock/monotonic.h"
#include "common/config/command_line.h"
#include "deploy/ctl/child_process.h"

namespace cddp::ctl {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);  // a GPU's driver may take seconds
constexpr int kTickMs = 20;
constexpr char kProgram[] = "cddp-worker: ";  // begins what it says of itself

}  // namespace

absl::StatusOr<std::string> CheckDevice(const std::string& worker, const std::vector<std::string>& flags) {
  ChildSpec spec = {"cddp-worker --check_device", {worker, "--check_device"}, "/dev/null"};
  spec.argv.insert(spec.argv.end(), flags.begin(), flags.end());
  spec.output = ChildOutput::kAllToPipe;
  sigset_t signals;
  sigprocmask(SIG_BLOCK, nullptr, &signals);
  absl::StatusOr<ChildProcess> child = ChildProcess::Spawn(spec, signals);
  if (!child.ok()) return child.status();
  std::string last;
  for (const absl::Duration end = MonotonicNow() + kPatience; !child->TryReap();) {
    pollfd pipe = {child->stdout_fd(), POLLIN, 0};  // poll leaves out -1
    poll(&pipe, 1, kTickMs);
    for (const std::string& line : child->ReadLines()) last = line.empty() ? last : line;
    if (MonotonicNow() < end) continue;
    child->Kill(SIGKILL);
    return absl::InternalError(absl::StrCat(flags.front(), ": ", worker, " --check_device gives no answer"));
  }
  for (const std::string& line : child->ReadLines()) last = line.empty() ? last : line;
  const int status = child->wait_status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !last.empty()) return last;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kExitBadInput && absl::StartsWith(last, kProgram)) {
    return absl::InvalidArgumentError(last.substr(sizeof(kProgram) - 1));
  }
  return absl::InternalError(
      absl::StrCat(flags.front(), ": ", worker, " --check_device ended with ", DescribeWaitStatus(status), ": ", last));
}

}  // namespace cddp::ctl
