#include "deploy/ctl/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/steady_time.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/ctl/run_cddp.h"

namespace cddp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A script that then sleeps: in bash, without another process, in turns so short that a signal's arrival between two of
// them is noticed. The pipe, at which nothing comes, is made first: a trapped signal that meets its making may be lost.
std::string ThenSleeps(const std::string& script) {
  return absl::StrCat("exec 3<> <(:); ", script, " for _ in {1..300}; do read -r -t 0.2 -u 3; done");
}

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() : supervisor_(Supervisor::Create().value()) {}

  size_t StartScript(const std::string& script) {
    const std::string name = absl::StrCat("child ", next_++);
    return supervisor_->Start({name, {"/bin/bash", "-c", script}, folder_.File(name)}).value();
  }

  SupervisorEvent Next() { return supervisor_->Wait(SteadyNow() + absl::Seconds(20)); }

  // The lines of all children until `exits` of them have ended.
  std::map<size_t, std::vector<std::string>> LinesUntilExits(int exits) {
    std::map<size_t, std::vector<std::string>> lines;
    while (exits > 0) {
      const SupervisorEvent event = Next();
      if (std::holds_alternative<TimedOut>(event)) break;
      if (const auto* line = std::get_if<ChildLine>(&event)) lines[line->child].push_back(line->line);
      if (const auto* exit = std::get_if<ChildExit>(&event)) {
        --exits;
        ended_.push_back(exit->child);
      }
    }
    EXPECT_EQ(exits, 0);
    return lines;
  }

  TempFolder folder_;
  std::unique_ptr<Supervisor> supervisor_;
  int next_ = 0;
  std::vector<size_t> ended_;
};

TEST_F(SupervisorTest, HearsAllLinesBeforeTheExit) {
  const size_t child = StartScript("echo one; echo; echo two; printf rest; exit 7");
  EXPECT_THAT(LinesUntilExits(1)[child], ElementsAre("one", "", "two", "rest"));
  EXPECT_EQ(DescribeWaitStatus(supervisor_->child(child).wait_status()), "exit code 7");
}

TEST_F(SupervisorTest, HearsManyChildrenAtOnce) {
  for (int i = 0; i < 8; ++i) StartScript(absl::StrCat("for ((j = 0; j < 2000; ++j)); do echo ", i, " $j; done"));
  auto lines = LinesUntilExits(8);
  for (size_t i = 0; i < 8; ++i) {
    ASSERT_EQ(lines[i].size(), 2000u);
    EXPECT_EQ(lines[i].back(), absl::StrCat(i, " 1999"));
  }
}

TEST_F(SupervisorTest, CutsEndlessLines) {
  const size_t child = StartScript("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next");
  const auto lines = LinesUntilExits(1)[child];
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].size(), 1u << 20);
  EXPECT_EQ(lines[1], "next");
}

TEST_F(SupervisorTest, TellsSignalsByName) {
  const size_t child = StartScript("kill -SEGV $$");
  LinesUntilExits(1);
  EXPECT_EQ(DescribeWaitStatus(supervisor_->child(child).wait_status()), "signal SIGSEGV (Segmentation fault)");
}

TEST_F(SupervisorTest, LogHoldsTheLastWords) {
  const size_t child = StartScript("for i in {1..30}; do echo line $i >&2; echo >&2; done");
  LinesUntilExits(1);
  EXPECT_THAT(LastLines(supervisor_->child(child).log_path(), 3), ElementsAre("line 28", "line 29", "line 30"));
  EXPECT_THAT(LastLines(folder_.File("no such file"), 3), ElementsAre());
}

TEST_F(SupervisorTest, MissingProgramIsAnErrorThatNamesIt) {
  absl::StatusOr<size_t> child = supervisor_->Start({"worker 0", {"/nowhere/cddp-worker"}, folder_.File("log")});
  ASSERT_FALSE(child.ok());
  EXPECT_THAT(std::string(child.status().message()), HasSubstr("cannot start worker 0 (/nowhere/cddp-worker)"));
  EXPECT_THAT(std::string(child.status().message()), HasSubstr("No such file"));
}

TEST_F(SupervisorTest, ChildBeginsWithNothingOfOurs) {
  const size_t child = StartScript(
      "grep SigBlk /proc/self/status; set -- $(</proc/$$/stat); [[ $5 -eq $$ ]] && echo own group;"
      "readlink /proc/$$/fd/0; readlink /proc/$$/fd/* | grep -c signalfd");
  EXPECT_THAT(LinesUntilExits(1)[child], ElementsAre("SigBlk:\t0000000000000000", "own group", "/dev/null", "0"));
}

TEST_F(SupervisorTest, WaitGivesUpAtTheDeadline) {
  StartScript(ThenSleeps(""));
  const absl::Time begin = SteadyNow();
  EXPECT_TRUE(std::holds_alternative<TimedOut>(supervisor_->Wait(begin + absl::Milliseconds(50))));
  EXPECT_GE(SteadyNow() - begin, absl::Milliseconds(50));
}

TEST_F(SupervisorTest, TellsOfSignalsThatReachUs) {
  kill(getpid(), SIGTERM);
  SupervisorEvent event = Next();
  ASSERT_TRUE(std::holds_alternative<SignalReceived>(event));
  EXPECT_EQ(std::get<SignalReceived>(event).signal, SIGTERM);
}

TEST_F(SupervisorTest, TerminateEndsOneChild) {
  const size_t other = StartScript(ThenSleeps(""));
  const size_t child = StartScript(ThenSleeps("trap 'echo bye; exit 0' TERM; echo ready;"));
  ASSERT_TRUE(std::holds_alternative<ChildLine>(Next()));
  supervisor_->Terminate(child);
  EXPECT_THAT(LinesUntilExits(1)[child], ElementsAre("bye"));
  EXPECT_THAT(ended_, ElementsAre(child));
  EXPECT_TRUE(supervisor_->child(other).running());
}

TEST_F(SupervisorTest, EndAllKillsTheDeafAfterTheGrace) {
  const size_t polite = StartScript(ThenSleeps("trap 'exit 0' TERM; echo ready;"));
  const size_t deaf = StartScript(ThenSleeps("trap '' TERM; echo ready;"));
  Next();
  Next();
  const absl::Time begin = SteadyNow();
  supervisor_->EndAll(absl::Seconds(2));
  EXPECT_GE(SteadyNow() - begin, absl::Seconds(2));
  EXPECT_LT(SteadyNow() - begin, absl::Seconds(10));
  EXPECT_EQ(DescribeWaitStatus(supervisor_->child(polite).wait_status()), "exit code 0");
  EXPECT_EQ(DescribeWaitStatus(supervisor_->child(deaf).wait_status()), "signal SIGKILL (Killed)");
}

TEST_F(SupervisorTest, EndAllReachesGrandchildren) {
  StartScript("sleep 60 & echo $!; wait");
  const SupervisorEvent event = Next();
  pid_t grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi(std::get<ChildLine>(event).line, &grandchild));
  EXPECT_FALSE(HasEnded(grandchild));
  supervisor_->EndAll(absl::Seconds(5));
  for (int i = 0; i < 500 && !HasEnded(grandchild); ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_TRUE(HasEnded(grandchild));
}

TEST_F(SupervisorTest, GoesAwayWithItsChildren) {
  StartScript(ThenSleeps("echo $$;"));
  const SupervisorEvent event = Next();
  pid_t child = 0;
  ASSERT_TRUE(absl::SimpleAtoi(std::get<ChildLine>(event).line, &child));
  supervisor_.reset();
  EXPECT_TRUE(HasEnded(child));
}

}  // namespace
}  // namespace cddp::ctl
