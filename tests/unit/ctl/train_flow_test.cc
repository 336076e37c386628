// `cddp train` as a process, with scripts in place of servers and workers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/agreement/settings.h"
#include "tests/support/eventually.h"
#include "tests/unit/ctl/run_cddp.h"

namespace cddp::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kTrain[] = "train --output=out --workers=3 --epochs=2";
constexpr size_t kProcesses = 2 + 3;

// Reads the process's lines until one holds `text`.
bool WaitForLine(ChildProcess* process, absl::string_view text) {
  return Eventually([&] {
    const std::vector<std::string> lines = process->ReadLines();
    return std::any_of(lines.begin(), lines.end(), [&](const auto& line) { return absl::StrContains(line, text); });
  });
}

class TrainFlowTest : public ::testing::Test {
 protected:
  nlohmann::json Report() const {
    return nlohmann::json::parse(ReadFile(folder_.File("out/report.json")), nullptr, false);
  }

  // All that came so far as to say who they are: at least the servers.
  bool AllHaveEnded() const {
    const std::vector<pid_t> pids = folder_.Pids();
    return pids.size() >= 2 && std::all_of(pids.begin(), pids.end(), HasEnded);
  }

  CddpFolder folder_;
};

TEST_F(TrainFlowTest, TrainsAndReports) {
  const Finished run = folder_.Run(kTrain, "FAKE_PIDS=pids");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out,
              StartsWith("simple_cnn on mnist: 3 workers, 2 servers, batch 3 x 64, ratio 0.01 (int4, gap8)\n"));
  EXPECT_THAT(run.out, HasSubstr("\nepoch 1/2  accuracy 91.50 %"));
  EXPECT_THAT(run.out, HasSubstr("\nepoch 2/2  accuracy 95.50 %"));
  EXPECT_THAT(run.out, HasSubstr("\nweights   checksum 1a2b3c4d, the same at all 3 workers\n"));
  EXPECT_THAT(run.out, HasSubstr("\nreport    out/report.json\n"));
  EXPECT_THAT(run.out, Not(HasSubstr("\r")));  // nothing is redrawn where no terminal is
  EXPECT_THAT(run.err, HasSubstr("a library says hello"));

  EXPECT_EQ(Report()["state"], "finished");
  EXPECT_EQ(Report()["weights_crc32c"], "1a2b3c4d");
  EXPECT_EQ(Report()["epochs"].size(), 2u);
  EXPECT_THAT(ReadFile(folder_.File("out/report.svg")), HasSubstr("</svg>"));
  EXPECT_EQ(ReadFile(folder_.File("out/model.pt")), "model\n");
  EXPECT_THAT(ReadFile(folder_.File("out/logs/worker-2.log")),
              AllOf(HasSubstr("--rank=2 --servers=127.0.0.1:"), HasSubstr(" --workers=3 ")));
  EXPECT_THAT(ReadFile(folder_.File("out/logs/server-1.log")), HasSubstr("fake server: ending"));  // by SIGTERM
  EXPECT_TRUE(AllHaveEnded());
}

// Each setting that changes a result, with another value than its default, reaches whichever program has it, in one of
// the modes that have it.
TEST_F(TrainFlowTest, EverySettingReachesTheProcesses) {
  std::map<std::string, std::string> values;
  std::string server_logs;
  std::string worker_logs;
  const auto run = [&](const std::string& flags) {
    const std::string output = absl::StrCat("run", values.size());
    const Finished finished = folder_.Run(absl::StrCat("train --overwrite --output=", output, " ", flags));
    EXPECT_EQ(finished.exit_code, 0) << flags << ": " << finished.err;
    for (const absl::string_view flag : absl::StrSplit(flags, ' ')) {
      const std::pair<std::string, std::string> parts = absl::StrSplit(flag, absl::MaxSplits('=', 1));
      values[parts.first] = parts.second;
    }
    server_logs += ReadFile(folder_.File(absl::StrCat(output, "/logs/server-1.log")));
    worker_logs += ReadFile(folder_.File(absl::StrCat(output, "/logs/worker-1.log")));
  };
  run("--model=mlp --workers=3 --epochs=3 --batch_size=8 --seed=7 --train_examples=600 --bucket_bytes=4096 "
      "--ratio=0.5 --publish_ratio=0.375 --value_encoding=fp16 --index_encoding=rice --small_tensor_elements=9 "
      "--selection=threshold --ratio_warmup_steps=11 --residual_decay=0.25 --momentum_correction=0.375 "
      "--clip_norm=1.5 --quorum=2 --lease=3s --start_timeout=5m --min_workers=2 --lr=0.125 --momentum=0.75 "
      "--nesterov=true --weight_decay=0.25 "
      "--lr_schedule=step --lr_warmup_steps=5 --lr_decay_steps=7 --lr_decay_factor=0.5 --optimizer_at=servers");
  run("--consistency=stale --max_staleness=9 --optimizer=adamw --sparse_adam=true --beta1=0.8 --beta2=0.7 "
      "--epsilon=0.5 --optimizer_at=servers");
  run("--overlap=2 --local_steps=2 --lr=0.125 --momentum=0.75 --nesterov=true --weight_decay=0.25 "
      "--lr_schedule=step "
      "--lr_warmup_steps=5 --lr_decay_steps=7 --lr_decay_factor=0.5 --param_groups=x --optimizer_at=workers");
  run("--optimizer=adamw --beta1=0.8 --beta2=0.7 --epsilon=0.5 --optimizer_at=workers");
  run(absl::StrCat("--model=gpt --data=", folder_.File("data"), " --layers=3 --dim=96 --heads=3 --context=17"));
  const std::string file = folder_.File("model.pt");
  std::ofstream(file) << "a TorchScript module";
  run(absl::StrCat("--model=", file, " --data=", folder_.File("data"), " --loss=mse"));
  for (const auto& [settings, logs] : {std::pair{ServerSettings(), server_logs}, {WorkerSettings(), worker_logs}}) {
    for (const Setting& setting : settings) {
      const std::string name(setting.name);
      const bool matters = setting.agree == Agree::kAll || setting.same_over == Over::kRestart;
      const bool is_given_out = name == "--shard" || name == "--shards" || name == "--rank";
      if (!matters || is_given_out || !absl::StartsWith(name, "--")) continue;
      ASSERT_EQ(values.count(name), 1u) << "no run above gives " << name;
      EXPECT_THAT(logs, HasSubstr(absl::StrCat(" ", name, "=", values.at(name))));
    }
  }
}

TEST_F(TrainFlowTest, ADeviceIsCheckedBeforeAnyProcessIsStarted) {
  const Finished refused = folder_.Run(absl::StrCat(kTrain, " --device=cuda"), "FAKE_WORKER_NO_GPU=1");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--device=cuda: no GPU can be used here"));
  EXPECT_TRUE(folder_.Pids().empty());
  EXPECT_FALSE(std::filesystem::exists(folder_.File("out")));

  const Finished finished = folder_.Run(absl::StrCat(kTrain, " --device=auto"));
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("device    cuda:0 (because)"));
  EXPECT_THAT(ReadFile(folder_.File("out/logs/worker-2.log")), HasSubstr(" --device=auto"));
  EXPECT_EQ(Report()["configuration"]["device"], "auto");

  EXPECT_THAT(folder_.Run("train --device=gpu").err, HasSubstr("use cpu, cuda, cuda:N"));
}

TEST_F(TrainFlowTest, AModelFromAFileIsTriedBeforeAnyProcessIsStarted) {
  std::ofstream(folder_.File("model.pt")) << "a TorchScript module";
  const std::string train = absl::StrCat(kTrain, " --model=./model.pt --data=data");
  const Finished refused = folder_.Run(train, "FAKE_WORKER_NO_MODEL=1");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--model: it cannot be"));
  EXPECT_TRUE(folder_.Pids().empty());
  EXPECT_FALSE(std::filesystem::exists(folder_.File("out")));

  const Finished finished = folder_.Run(train);
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_THAT(finished.out, StartsWith("./model.pt on data: "));
  EXPECT_THAT(ReadFile(folder_.File("out/logs/worker-2.log")),
              AllOf(HasSubstr(" --model=./model.pt"), HasSubstr(" --data=data"), Not(HasSubstr("--data_dir"))));
  // Not more servers than there is work for.
  const Finished small = folder_.Run(absl::StrCat(train, " --overwrite"), "FAKE_WORKER_BUCKETS=1");
  EXPECT_THAT(small.out, HasSubstr("3 workers, 1 server")) << small.err;
  const Finished too_many = folder_.Run(absl::StrCat(train, " --overwrite --servers=2"), "FAKE_WORKER_BUCKETS=1");
  EXPECT_EQ(too_many.exit_code, 2);
  EXPECT_THAT(too_many.err, HasSubstr("--servers=2: the model has 1 bucket(s)"));
  EXPECT_THAT(folder_.Run("train --model=./none.pt").err, HasSubstr("--model=./none.pt: there is no such file"));
}

TEST_F(TrainFlowTest, RunsGetFoldersOfTheirOwn) {
  for (int i = 0; i < 2; ++i) EXPECT_EQ(folder_.Run("train --workers=1 --servers=1 --epochs=1").exit_code, 0);
  const std::filesystem::directory_iterator runs(folder_.File("runs"));
  EXPECT_EQ(std::distance(begin(runs), end(runs)), 2);
}

TEST_F(TrainFlowTest, AWorkersCrashEndsAllAndItsLastWordsAreShown) {
  const Finished run = folder_.Run(kTrain, "FAKE_PIDS=pids FAKE_WORKER_CRASH=1");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("cddp: worker 1 failed with signal SIGSEGV (Segmentation fault)"));
  EXPECT_THAT(run.err, HasSubstr("    line 20 of the log\n    what a day to crash\n"));
  EXPECT_THAT(run.err, Not(HasSubstr("line 11 of the log")));
  EXPECT_THAT(run.err, HasSubstr("out/logs/worker-1.log"));
  EXPECT_TRUE(AllHaveEnded());
  EXPECT_EQ(Report()["state"], "failed");
  EXPECT_THAT(Report()["error"].get<std::string>(), HasSubstr("what a day to crash"));
}

TEST_F(TrainFlowTest, BadInputOfAWorkerIsOneClearLine) {
  const Finished run = folder_.Run(kTrain, "FAKE_PIDS=pids FAKE_WORKER_BAD_INPUT=0");
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("cddp: worker 0: unknown model 'nonsense' (there are mlp, simple_cnn, resnet18) (log: "
                                 "out/logs/worker-0.log)\n"));
  EXPECT_TRUE(AllHaveEnded());
}

TEST_F(TrainFlowTest, AWorkerThatEndsWithoutAResultFailed) {
  const Finished run = folder_.Run(kTrain, "FAKE_WORKER_SILENT=2");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("cddp: worker 2 ended before the training was over, with exit code 0"));
}

TEST_F(TrainFlowTest, AServerThatEndsEarlyFailed) {
  const Finished run = folder_.Run(kTrain, "FAKE_SERVER_DIES=1 FAKE_WORKER_HANGS=1");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("cddp: server "));
  EXPECT_THAT(run.err, HasSubstr("ended before the training was over, with exit code 0"));
}

TEST_F(TrainFlowTest, DifferentWeightsAreAFailure) {
  const Finished run = folder_.Run(kTrain, "FAKE_WORKER_STRAYS=2");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("different weights: checksum 1a2b3c4d at worker 0, 00000000 at worker 2"));
  EXPECT_EQ(Report()["state"], "failed");
}

TEST_F(TrainFlowTest, ARunThatSkippedMostStepsFailed) {
  const Finished run = folder_.Run(kTrain, "FAKE_WORKER_REFUSED=60");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("the result is not what was asked for: 120 of 200 steps were skipped"));
  EXPECT_EQ(Report()["state"], "failed");
  EXPECT_EQ(Report()["problems"].size(), 1u);
  EXPECT_EQ(folder_.Run(kTrain, "FAKE_WORKER_REFUSED=3").exit_code, 0);
  EXPECT_THAT(Report()["notes"][0].get<std::string>(), HasSubstr("6 of 200 steps were skipped"));
}

TEST_F(TrainFlowTest, AWorkerThatFailsInTheEndDoesNotStopTheOthers) {
  const Finished run = folder_.Run(kTrain, "FAKE_WORKER_DIVERGES=1");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("worker 1: the training is over, but diverged"));
  EXPECT_THAT(run.out, HasSubstr("\nreport    out/report.json\n"));
}

TEST_F(TrainFlowTest, SigtermEndsAllAndLeavesAReport) {
  ChildProcess cddp = folder_.Start(kTrain, "FAKE_WORKER_HANGS=1");
  ASSERT_TRUE(WaitForLine(&cddp, "has 1,000,000 parameters"));
  ASSERT_TRUE(Eventually([&] { return folder_.Pids().size() == kProcesses; }));
  cddp.Kill(SIGTERM);
  ASSERT_TRUE(Eventually([&] { return cddp.TryReap(); }));
  EXPECT_EQ(DescribeWaitStatus(cddp.wait_status()), "exit code 143");
  EXPECT_TRUE(AllHaveEnded());
  EXPECT_EQ(Report()["state"], "interrupted");
  EXPECT_THAT(ReadFile(folder_.File("stderr")),
              HasSubstr("cddp: ended by SIGTERM; logs and the report so far are in out"));
}

TEST_F(TrainFlowTest, ASecondCtrlCDoesNotWaitForTheDeaf) {
  // A durable run, whose workers may take a while to save their state.
  ChildProcess cddp = folder_.Start(absl::StrCat(kTrain, " --durable"), "FAKE_WORKER_HANGS=1 FAKE_WORKER_DEAF=1");
  ASSERT_TRUE(WaitForLine(&cddp, "has 1,000,000 parameters"));
  ASSERT_TRUE(Eventually([&] { return folder_.Pids().size() == kProcesses; }));
  const absl::Time begin = absl::Now();
  cddp.Kill(SIGINT);
  // The servers, which listen to SIGTERM, have ended: the first Ctrl-C has arrived.
  ASSERT_TRUE(Eventually([&] { return HasEnded(folder_.Pids()[0]); }));
  EXPECT_FALSE(AllHaveEnded());
  cddp.Kill(SIGINT);
  ASSERT_TRUE(Eventually([&] { return cddp.TryReap(); }));
  EXPECT_EQ(DescribeWaitStatus(cddp.wait_status()), "exit code 130");
  EXPECT_TRUE(AllHaveEnded());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));  // the grace is 5 s
}

TEST_F(TrainFlowTest, CtrlCSaysWhatItWaitsFor) {
  ChildProcess cddp = folder_.Start(kTrain, "FAKE_WORKER_HANGS=1 FAKE_WORKER_DEAF=1");
  ASSERT_TRUE(WaitForLine(&cddp, "has 1,000,000 parameters"));
  cddp.Kill(SIGINT);
  // Nobody has anything to save: the deaf are not waited for.
  ASSERT_TRUE(Eventually([&] { return cddp.TryReap(); }));
  EXPECT_THAT(ReadFile(folder_.File("stderr")), HasSubstr("cddp: SIGINT: ending all processes (once more: at once)\n"));
  EXPECT_TRUE(AllHaveEnded());
}

TEST_F(TrainFlowTest, AFolderInUseIsNotTouched) {
  const std::string durable = absl::StrCat(kTrain, " --durable");
  ChildProcess cddp = folder_.Start(durable, "FAKE_WORKER_HANGS=1");
  ASSERT_TRUE(WaitForLine(&cddp, "has 1,000,000 parameters"));
  const std::string report = ReadFile(folder_.File("out/report.json"));
  const std::string holder = absl::StrCat("is in use by another cddp, process ", folder_.LockHolder("out"));
  for (const std::string& other : {std::string(kTrain), durable, absl::StrCat(kTrain, " --overwrite"),
                                   std::string("train --resume --output=out")}) {
    const Finished second = folder_.Run(other);
    EXPECT_EQ(second.exit_code, 2) << other;
    EXPECT_THAT(second.err, HasSubstr(holder)) << other;
    EXPECT_EQ(ReadFile(folder_.File("out/report.json")), report) << other;
    EXPECT_FALSE(std::filesystem::exists(folder_.File("out/logs-1"))) << other;
  }
  cddp.Kill(SIGTERM);
  ASSERT_TRUE(Eventually([&] { return cddp.TryReap(); }));
}

TEST_F(TrainFlowTest, AResultIsNotOverwrittenUnlessAskedFor) {
  ASSERT_EQ(folder_.Run(kTrain).exit_code, 0);
  std::ofstream(folder_.File("out/trace-9.json")) << "[]";  // of the run before, with more workers
  std::ofstream(folder_.File("out/notes")) << "mine";
  const Finished refused = folder_.Run(kTrain);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--output=out holds the result of another run: choose another folder"));
  EXPECT_EQ(Report()["state"], "finished");
  EXPECT_EQ(folder_.Run(absl::StrCat(kTrain, " --overwrite --seed=7")).exit_code, 0);
  EXPECT_EQ(Report()["configuration"]["seed"], 7);
  EXPECT_FALSE(std::filesystem::exists(folder_.File("out/trace-9.json")));
  EXPECT_EQ(ReadFile(folder_.File("out/notes")), "mine");
}

TEST_F(TrainFlowTest, AFailedRunMayBeBegunAgainInItsFolder) {
  EXPECT_EQ(folder_.Run(kTrain, "FAKE_WORKER_CRASH=1").exit_code, 1);
  EXPECT_EQ(folder_.Run(kTrain).exit_code, 0);
}

TEST_F(TrainFlowTest, StateAndFilesOfOthersAreKept) {
  std::filesystem::create_directories(folder_.File("out/logs"));
  std::ofstream(folder_.File("out/logs/mail")) << "mine";
  const Finished others = folder_.Run(kTrain);
  EXPECT_EQ(others.exit_code, 2);
  EXPECT_THAT(others.err, HasSubstr("holds out/logs, and no report of a run that it belongs to"));
  EXPECT_EQ(ReadFile(folder_.File("out/logs/mail")), "mine");
  std::filesystem::create_directories(folder_.File("out/state-0"));
  EXPECT_THAT(folder_.Run(kTrain).err, HasSubstr("holds the state of another run (out/state-0)"));
}

TEST_F(TrainFlowTest, OutputsAreCheckedBeforeAnyProcessIsStarted) {
  std::filesystem::create_directories(folder_.File("out/report.svg.probe"));
  const Finished run = folder_.Run(kTrain, "FAKE_PIDS=pids");
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err,
              HasSubstr("--output: out/report.svg: no file can be made there (out/report.svg.probe: is a folder"));
  EXPECT_TRUE(folder_.Pids().empty());
}

TEST_F(TrainFlowTest, FlagsForWorkersMayHoldBlanks) {
  EXPECT_EQ(
      folder_.Run(absl::StrCat(kTrain, R"( "--worker_flags=--trace='a b.json' --ratio_warmup_steps=3")")).exit_code, 0);
  EXPECT_THAT(ReadFile(folder_.File("out/logs/worker-0.log")), HasSubstr(" --trace=a b.json --ratio_warmup_steps=3"));
}

TEST_F(TrainFlowTest, NobodyOutlivesACddpThatIsKilled) {
  ChildProcess cddp = folder_.Start(kTrain, "FAKE_WORKER_HANGS=1 FAKE_WORKER_DEAF=1");
  ASSERT_TRUE(WaitForLine(&cddp, "has 1,000,000 parameters"));
  ASSERT_TRUE(Eventually([&] { return folder_.Pids().size() == kProcesses; }));
  cddp.Kill(SIGKILL);
  EXPECT_TRUE(Eventually([&] { return AllHaveEnded(); }));
  ASSERT_TRUE(Eventually([&] { return cddp.TryReap(); }));
  EXPECT_EQ(DescribeWaitStatus(cddp.wait_status()), "signal SIGKILL (Killed)");
}

TEST_F(TrainFlowTest, CtrlZStopsTheChildrenToo) {
  ChildProcess cddp = folder_.Start(kTrain, "FAKE_WORKER_HANGS=1");
  ASSERT_TRUE(WaitForLine(&cddp, "has 1,000,000 parameters"));
  ASSERT_TRUE(Eventually([&] { return folder_.Pids().size() == kProcesses; }));
  const auto all_are_stopped = [&] {
    const std::vector<pid_t> pids = folder_.Pids();
    return std::all_of(pids.begin(), pids.end(), [](pid_t pid) { return ProcessState(pid) == 'T'; });
  };
  cddp.Kill(SIGTSTP);
  EXPECT_TRUE(Eventually(all_are_stopped));
  cddp.Kill(SIGCONT);
  EXPECT_TRUE(Eventually([&] { return !all_are_stopped(); }));
  cddp.Kill(SIGTERM);
  ASSERT_TRUE(Eventually([&] { return cddp.TryReap(); }));
  EXPECT_EQ(DescribeWaitStatus(cddp.wait_status()), "exit code 143");
  EXPECT_TRUE(AllHaveEnded());
}

TEST_F(TrainFlowTest, BadInputIsOneLineAndCodeTwo) {
  for (const BadInput& bad : {
           BadInput{"train --ratio=-1", "--ratio=-1: must be in (0, 1]"},
           BadInput{"train --ratio=1.5", "--ratio=1.5: must be in (0, 1]"},
           BadInput{"train --ratio=much", "--ratio=much"},
           BadInput{"train --workers=0", "--workers=0"},
           BadInput{"train --servers=a:1,b:2", "--servers=a:1,b:2: must be a number"},
           BadInput{"train --epoch=3", "unknown flag --epoch"},
           BadInput{"train --watch", "unknown flag --watch"},  // a flag of `status`
           BadInput{"train mnist", "'mnist' is not a flag"},
           BadInput{"train --durable false", "did you mean --durable=false?"},
           BadInput{"train --modle=mlp", "did you mean --model?"},
           BadInput{"train --watch=false", "unknown flag --watch"},
           BadInput{"train --optimizer=adam --nesterov", "--nesterov=true has no effect with --optimizer=adam"},
           BadInput{"train --checkpoint_every=5", "leave it out, or give --durable"},
           BadInput{"train --consistency=async --quorum=2", "--quorum=2 has no effect with --consistency=async"},
           BadInput{"train --max_staleness=9", "has no effect with --consistency=sync"},
           BadInput{"train --nocompress --ratio=0.5", "--ratio=0.5 has no effect with --compress=false"},
           BadInput{"status --servers=a:1 --json --watch", "--watch=true has no effect with --json=true"},
           BadInput{"checkpoint --servers=a:1 --version=3 --export_to=f --reach_timeout=5s",
                    "has no effect with --version=3"},
           BadInput{"trian", "did you mean train?"},
           BadInput{"train --value_encoding=fp12", "--value_encoding=fp12"},
           BadInput{"train --model=simple_cmm", "unknown model 'simple_cmm': did you mean simple_cnn?"},
           BadInput{"train --model=transformer", "use mlp, simple_cnn, bn_cnn, resnet18, gpt, resnet50_shapes"},
           BadInput{"train --batch_size=20000", "4 workers need 80000 examples a step, there are 60000"},
           BadInput{"train --train_examples=100", "4 workers need 256 examples a step, there are 100"},
           BadInput{"train --data_dir=.", "cannot read ./train-images-idx3-ubyte"},
           BadInput{"train --worker_flags=\\'a", "a quote (') is not closed"},
           BadInput{"train --overwrite", "--overwrite=true has no effect with --output="},
           BadInput{"train --dataset=cifar", "there is no folder 'data/cifar'"},
           BadInput{"train --output=/proc/nowhere/out", "--output: cannot write to '/proc/nowhere/out'"},
           BadInput{"status", "--servers=host:port"},
           BadInput{"status --servers=localhost", "localhost"},
           BadInput{"status --servers=a:1 --interval=0", "--interval=0"},
           BadInput{"status --servers=a:1 --epochs=3", "unknown flag --epochs"},
           BadInput{"fly", "unknown command 'fly'"},
       }) {
    ExpectRefused(folder_, bad);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.File("runs")));
}

TEST_F(TrainFlowTest, MissingProgramsAreNamed) {
  std::filesystem::remove(folder_.File("cddp-worker"));
  const Finished run = folder_.Run(kTrain);
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("/cddp-worker: build it with"));
}

TEST_F(TrainFlowTest, HelpNamesCommandsAndTheirFlags) {
  for (const char* arguments : {"help", "--help"}) {
    const Finished run = folder_.Run(arguments);
    EXPECT_EQ(run.exit_code, 0);
    EXPECT_THAT(run.out, HasSubstr("cddp train --epochs=5"));
    EXPECT_THAT(run.out, HasSubstr("cddp status --servers="));
  }
  const Finished train = folder_.Run("train --help");
  EXPECT_EQ(train.exit_code, 0);
  EXPECT_THAT(train.out, HasSubstr("--publish_ratio (default 0)"));
  EXPECT_THAT(train.out, Not(HasSubstr("--watch")));
  EXPECT_EQ(folder_.Run("train -h").out, train.out);
  EXPECT_EQ(folder_.Run("").exit_code, 2);
}

}  // namespace
}  // namespace cddp::ctl
