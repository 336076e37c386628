#include "deploy/ctl/worker_check.h"

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

constexpr absl::Duration kCheckPatience = absl::Minutes(5);  // a GPU's driver takes seconds, large data more
constexpr int kTickMs = 20;
constexpr char kProgram[] = "cddp-worker: ";  // the prefix of its messages

}  // namespace

absl::StatusOr<std::string> AskWorker(const std::string& worker, absl::string_view question,
                                      const std::vector<std::string>& flags) {
  const auto no_answer = [&](const std::string& what) {
    return absl::InternalError(absl::StrCat(worker, " ", question, what));
  };
  ChildSpec spec = {absl::StrCat("cddp-worker ", question), {worker, std::string(question)}, "/dev/null"};
  spec.argv.insert(spec.argv.end(), flags.begin(), flags.end());
  spec.output = ChildOutput::kAllToPipe;
  sigset_t signals;
  sigprocmask(SIG_BLOCK, nullptr, &signals);
  absl::StatusOr<ChildProcess> child = ChildProcess::Spawn(spec, signals);
  if (!child.ok()) return child.status();
  std::string last;
  for (const absl::Duration end = MonotonicNow() + kCheckPatience; !child->TryReap();) {
    pollfd pipe = {child->stdout_fd(), POLLIN, 0};  // poll ignores -1
    poll(&pipe, 1, kTickMs);
    for (const std::string& line : child->ReadLines()) last = line.empty() ? last : line;
    if (MonotonicNow() < end) continue;
    child->Kill(SIGKILL);
    return no_answer(" gives no answer");
  }
  for (const std::string& line : child->ReadLines()) last = line.empty() ? last : line;
  const int status = child->wait_status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !last.empty()) return last;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kExitBadInput && absl::StartsWith(last, kProgram)) {
    return absl::InvalidArgumentError(last.substr(sizeof(kProgram) - 1));
  }
  return no_answer(absl::StrCat(" ended with ", DescribeWaitStatus(status), ": ", last));
}

}  // namespace cddp::ctl
