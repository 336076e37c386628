// `cddp run` as a process, with a script in place of servers and small ones as workers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/support/eventually.h"
#include "tests/unit/ctl/run_cddp.h"

namespace cddp::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kRun[] = "run --output=out --workers=3 ";

class RunFlowTest : public ::testing::Test {
 protected:
  // The command line that runs a shell script as the worker.
  std::string WithScript(const std::string& flags, const std::string& script) {
    std::ofstream(folder_.File("worker.sh")) << script;
    return absl::StrCat(kRun, flags, " -- sh worker.sh");
  }

  std::string Log(int rank) const { return ReadFile(folder_.File(absl::StrCat("out/logs/worker-", rank, ".log"))); }
  nlohmann::json Report() const {
    return nlohmann::json::parse(ReadFile(folder_.File("out/report.json")), nullptr, false);
  }
  bool AllHaveEnded(size_t count) const {
    const std::vector<pid_t> pids = folder_.Pids();
    return pids.size() >= count && std::all_of(pids.begin(), pids.end(), HasEnded);
  }

  CddpFolder folder_;
};

TEST_F(RunFlowTest, WorkersKnowTheirPlace) {
  const Finished run =
      folder_.Run(WithScript("",
                             "echo $RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE here, $CDDP_SERVERS in "
                             "$CDDP_OUTPUT state=$CDDP_STATE; echo worse >&2"));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("\n[rank 0] 0 of 3, 0 of 3 here, 127.0.0.1:"));
  EXPECT_THAT(run.out, HasSubstr("\n[rank 0] worse\n"));
  EXPECT_THAT(run.out, Not(HasSubstr("1 of 3")));  // other ranks' words are in their logs
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_THAT(Log(rank), AllOf(StartsWith(absl::StrCat(rank, " of 3, ", rank, " of 3 here, 127.0.0.1:")),
                                 HasSubstr("/out state=\nworse\n")));
  }
  EXPECT_EQ(Report()["state"], "finished");
  EXPECT_THAT(ReadFile(folder_.File("out/logs/server-1.log")), AllOf(HasSubstr("--workers=3"), HasSubstr("--shards=2"),
                                                                     HasSubstr("--optimizer=sgd --lr=1 --momentum=0")));
}

TEST_F(RunFlowTest, ServersGetTheirSettings) {
  const Finished run = folder_.Run(
      WithScript("--servers=1 --optimizer_at=servers --optimizer=adamw --lr=0.01 --beta1=0.8 --quorum=2 --durable",
                 "test -d $CDDP_STATE"));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(ReadFile(folder_.File("out/logs/server-0.log")),
              AllOf(HasSubstr("--optimizer=adamw --lr=0.01"), HasSubstr("--beta1=0.8"), HasSubstr("--quorum=2"),
                    HasSubstr("--state_dir=out/state-0")));
}

TEST_F(RunFlowTest, SeveralMachinesShareServersThatRun) {
  const Finished run =
      folder_.Run(WithScript("--nodes=2 --node_rank=1 --servers=localhost:1,localhost:2",
                             "echo $RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE here, $CDDP_SERVERS"),
                  "FAKE_PIDS=pids");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(Log(5), "5 of 6, 2 of 3 here, localhost:1,localhost:2\n");
  EXPECT_TRUE(folder_.Pids().empty());  // no server was started
}

TEST_F(RunFlowTest, TheFirstFailureEndsAllWithItsExitCode) {
  const Finished run =
      folder_.Run(WithScript("", "echo $$ >>pids; if [ $RANK = 1 ]; then echo 'what a day' >&2; exit 7; fi; sleep 60"),
                  "FAKE_PIDS=pids");
  EXPECT_EQ(run.exit_code, 7);
  EXPECT_THAT(run.err, AllOf(HasSubstr("cddp: worker 1 failed with exit code 7"), HasSubstr("what a day")));
  EXPECT_TRUE(AllHaveEnded(2 + 2));
  EXPECT_EQ(Report()["state"], "failed");
  EXPECT_EQ(Report()["exit_code"], 7);
}

TEST_F(RunFlowTest, AKilledWorkerThatNeverJoinedIsNotStartedAgain) {
  const Finished run = folder_.Run(WithScript("--durable", "[ $RANK = 2 ] && kill -KILL $$; sleep 60"));
  EXPECT_EQ(run.exit_code, 128 + SIGKILL);
  EXPECT_THAT(run.err, HasSubstr("worker 2 failed with signal SIGKILL"));
}

TEST_F(RunFlowTest, WhatAWorkerHasStartedEndsWithIt) {
  const Finished run = folder_.Run(WithScript("", "sleep 60 & echo $! >>pids"));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(Eventually([&] { return AllHaveEnded(3); }));
}

TEST_F(RunFlowTest, CtrlCEndsAll) {
  ChildProcess cddp = folder_.Start(WithScript("", "trap '' TERM; echo $$ >>pids; while :; do sleep 0.1; done"));
  ASSERT_TRUE(Eventually([&] { return folder_.Pids().size() == 2 + 3; }));
  cddp.Kill(SIGINT);
  ASSERT_TRUE(Eventually([&] { return cddp.TryReap(); }));
  EXPECT_EQ(DescribeWaitStatus(cddp.wait_status()), "exit code 130");
  EXPECT_TRUE(AllHaveEnded(5));
  EXPECT_THAT(ReadFile(folder_.File("stderr")), HasSubstr("ended by SIGINT; the logs are in out/logs"));
}

TEST_F(RunFlowTest, NobodyOutlivesACddpThatIsKilled) {
  ChildProcess cddp = folder_.Start(WithScript("", "trap '' TERM; echo $$ >>pids; while :; do sleep 0.1; done"));
  ASSERT_TRUE(Eventually([&] { return folder_.Pids().size() == 2 + 3; }));
  cddp.Kill(SIGKILL);
  EXPECT_TRUE(Eventually([&] { return AllHaveEnded(5); }));
}

TEST_F(RunFlowTest, ProgressBarsAreShownAsATerminalShowsThem) {
  const Finished run = folder_.Run(WithScript("", R"(printf '10 %%\r50 %%\r100 %%\n')"));
  EXPECT_THAT(run.out, HasSubstr("\n[rank 0] 100 %\n"));
}

TEST_F(RunFlowTest, BadInputIsOneLineAndCodeTwo) {
  std::ofstream(folder_.File("train.py")) << "pass\n";
  for (const BadInput& bad : {
           BadInput{"run", "what shall the workers run?"},
           BadInput{"run --workers=2 --", "what shall the workers run?"},
           BadInput{"run python3 train.py", "write two dashes before what the workers shall run: -- python3 train.py"},
           BadInput{"run --workers=2 python3 train.py", "-- python3 train.py"},
           BadInput{"run --worker=2 -- true", "did you mean --workers?"},
           BadInput{"run --workers=0 -- true", "--workers=0: must be between"},
           BadInput{"run --servers=0 -- true", "--servers=0: must be between"},
           BadInput{"run --servers=two -- true",
                    "--servers=two: must be a number of servers to start, or the addresses"},
           BadInput{"run --servers=a:b -- true", "--servers=a:b"},
           BadInput{"run --nodes=0 -- true", "--nodes=0"},
           BadInput{"run --nodes=2 -- true", "--nodes=2 needs the addresses of servers"},
           BadInput{"run --nodes=2 --node_rank=2 --servers=a:1 -- true", "--node_rank=2: must be between 0 and 1"},
           BadInput{"run --servers=a:1 --quorum=1 -- true", "--quorum has no effect"},
           BadInput{"run --lr=0.1 -- true", "--lr has no effect: the script has the optimizer"},
           BadInput{"run --optimizer_at=servers --optimizer=adamv -- true", "--optimizer=adamv"},
           BadInput{"run --optimizer_at=servers --outer_lr=0.7 -- true", "--outer_lr"},
           BadInput{"run --max_staleness=9 -- true", "has no effect with --consistency=sync"},
           BadInput{"run --resume -- true", "--resume: needs --durable and --output"},
           BadInput{"run --checkpoint_every=5 -- true", "leave it out, or give --durable"},
           BadInput{"run --epochs=3 -- true", "unknown flag --epochs"},  // a flag of `train`
           BadInput{"run -- no_such_program", "there is no program 'no_such_program' in any folder of PATH"},
           BadInput{"run -- train.py", "write python3 before it: -- python3 train.py"},
           BadInput{"run -- ./train.py", "write python3 before it"},
           BadInput{"run --server_flags=\\'a -- true", "a quote (') is not closed"},
           BadInput{"run --output=/proc/nowhere/out -- true", "--output: cannot write to '/proc/nowhere/out'"},
           BadInput{"rum", "did you mean run?"},
       }) {
    ExpectRefused(folder_, bad);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.File("runs")));
}

TEST_F(RunFlowTest, AResultIsNotOverwrittenUnlessAskedFor) {
  EXPECT_EQ(folder_.Run(WithScript("", "true")).exit_code, 0);
  const Finished again = folder_.Run(WithScript("", "true"));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("holds the result of another run"));
  EXPECT_EQ(folder_.Run(WithScript("--overwrite", "true")).exit_code, 0);
}

}  // namespace
}  // namespace cddp::ctl
