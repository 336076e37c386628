// Real processes, as a person starts them: whole clusters through `cddp train`, and what each program says to bad
// input.

#include "tests/integration/process_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace cddp {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST_F(ProcessTest, ClustersOfSeveralShapesLearn) {
  for (const auto& [servers, workers] : {std::pair{1, 1}, std::pair{2, 4}, std::pair{3, 5}}) {
    const std::string output = absl::StrCat(servers, "x", workers);
    const Outcome run = RunShell(Train(absl::StrCat("--lr=0.02 --servers=", servers, " --workers=", workers), output));
    ASSERT_EQ(run.exit_code, 0) << run.output;
    const nlohmann::json report = Report(output);
    EXPECT_GE(report.at("epochs").back().at("test_accuracy").get<double>(), 0.9) << output;
    EXPECT_TRUE(std::filesystem::exists(folder_ / output / "model.pt"));
    EXPECT_TRUE(std::filesystem::exists(folder_ / output / "report.svg"));
  }
}

// Two workers see in a step what one sees with twice the batch, and exchange all of it: but for the order of additions
// they learn the same.
TEST_F(ProcessTest, AGptLearnsTheSameWithTwoWorkersAsWithOne) {
  std::ofstream text(folder_ / "text");
  for (int i = 0; i < 400; ++i) text << "line " << i * i << " of a text that is there to be learnt\n";
  text.close();
  double losses[3];
  for (const int workers : {1, 2}) {
    const std::string output = absl::StrCat("gpt", workers);
    const Outcome run = RunShell(absl::StrCat(
        Bin("cddp"),
        " train --model=gpt --layers=2 --dim=32 --heads=2 --context=32 --epochs=2 --lr=0.1 --nocompress --data=",
        (folder_ / "text").string(), " --output=", (folder_ / output).string(), " --servers=2 --workers=", workers,
        " --batch_size=", 8 / workers));
    ASSERT_EQ(run.exit_code, 0) << run.output;
    EXPECT_THAT(run.output, HasSubstr("nats of the validation text"));
    const nlohmann::json epoch = Report(output).at("epochs").back();
    losses[workers] = epoch.at("test_loss").get<double>();
    EXPECT_TRUE(epoch.at("test_accuracy").is_null());
  }
  EXPECT_LT(losses[1], 4) << "at first it is ln(256), 5.5";
  EXPECT_NEAR(losses[1], losses[2], 1e-3);
}

TEST_F(ProcessTest, AdamOnTheServersBehindSparseGradientsIsRefusedByWhoeverStartsIt) {
  const Outcome train = RunShell(Train("--optimizer=adam --optimizer_at=servers"));
  EXPECT_EQ(train.exit_code, 2);
  EXPECT_THAT(train.output, HasSubstr("adam on the servers loses what waits to be sent at --ratio=0.01"));
  // Started by hand, the worker finds out when it joins.
  const Outcome worker = RunShell(Train("--worker_flags=--ratio=0.05 --optimizer=adam --ratio=1"));
  EXPECT_NE(worker.exit_code, 0);
  EXPECT_THAT(worker.output, HasSubstr("the servers have --optimizer=adam and this worker sends --ratio=0.05"));
  EXPECT_EQ(RunShell(Train("--overwrite --optimizer=adam --optimizer_at=servers --sparse_adam")).exit_code, 0);
}

// How often each event is in a worker's trace.
std::map<std::string, int> CountEvents(const std::filesystem::path& trace) {
  std::ifstream file(trace);
  std::map<std::string, int> counts;
  for (const nlohmann::json& event : nlohmann::json::parse(file)) {
    if (event.at("ph") == "X" || event.at("ph") == "b") ++counts[event.at("name")];
  }
  return counts;
}

TEST_F(ProcessTest, WorkersStartedAlikeShareTheWork) {
  std::ofstream(folder_ / "script") << absl::StrReplaceAll(
      R"sh(
trap 'kill $server' EXIT
BIN/cddp-server --listen=127.0.0.1:0 --metrics_listen= --workers=2 --progress=json >FOLDER/server &
server=$!
until grep -q listening FOLDER/server; do kill -0 $server || exit 9; done
address=$(sed 's/.*"address":"\([^"]*\)".*/\1/' FOLDER/server)
for i in 1 2; do
  BIN/cddp-worker --rank=auto --workers=2 --servers=$address --model=mlp --data_dir=FOLDER/data --epochs=1 &
  workers="$workers $!"
done
for worker in $workers; do wait $worker || exit; done
BIN/cddp-worker --rank=auto --workers=2 --servers=$address --model=mlp --data_dir=FOLDER/data --epochs=1
)sh",
      {{"FOLDER", folder_.string()}, {"BIN", CDDP_BIN}});
  const Outcome outcome = RunShell(absl::StrCat("bash ", (folder_ / "script").string()));
  EXPECT_THAT(outcome.output, HasSubstr("event=rank_claimed rank=0"));
  EXPECT_THAT(outcome.output, HasSubstr("event=rank_claimed rank=1"));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("all 2 workers have finished"));
}

TEST_F(ProcessTest, DenseModeGoesThroughTheSamePath) {
  const Outcome run = RunShell(Train("--nocompress --workers=2 --lr=0.02 --trace"));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  for (const char* name : {"trace-0.json", "trace-1.json"}) {
    std::map<std::string, int> counts = CountEvents(folder_ / "run" / name);
    EXPECT_GT(counts["forward"], 0) << name;
    EXPECT_EQ(counts["backward"], counts["forward"]) << name;
    EXPECT_EQ(counts["wait"], counts["forward"]) << name;
    EXPECT_GT(counts["exchange"], counts["forward"]) << "several buckets a step";
    for (const char* event : {"compress", "apply"}) EXPECT_EQ(counts[event], counts["exchange"]) << event;
  }
  EXPECT_GE(Report().at("epochs").back().at("test_accuracy").get<double>(), 0.9);
  // Framing costs less than 1 %; what is saved are exact zeros, of which this model's gradients have few.
  EXPECT_GE(Report().at("push_saved").get<double>(), -0.01);
  EXPECT_LE(Report().at("push_saved").get<double>(), 0.3);
}

struct BadCase {
  std::string command;
  std::string says;
};

TEST_F(ProcessTest, AServerEndsWhenItsWorkersHaveFinished) {
  // Worker 0 finishes alone: worker 1 has been killed, which is no finishing. Its rank's next process finishes too.
  std::ofstream(folder_ / "script") << absl::StrReplaceAll(
      R"(
mkfifo FOLDER/out
serve() { SERVER --listen=127.0.0.1:$1 --workers=2 --metrics_listen= --lease=1s --state_dir=FOLDER/state \
    --exit_when_finished --progress=json; }
serve 0 >FOLDER/out 2>FOLDER/server.log &
server=$!
read -r line <FOLDER/out
port=${line#*127.0.0.1:}
port=${port%%\"*}
work() { exec WORKER --model=mlp --data_dir=FOLDER/data --epochs=50 --batch_size=16 --metrics_listen= --workers=2 \
    --servers=127.0.0.1:$port --rank=$1; }
(work 1) 2>/dev/null >/dev/null &
doomed=$!
(work 0) >FOLDER/first.log 2>&1 &
first=$!
until grep -q 'event=epoch epoch=1 ' FOLDER/first.log; do kill -0 $server $doomed || exit 9; done
kill -9 $doomed
wait $first
echo first=$?
SERVER --healthcheck=127.0.0.1:$port
echo still_there=$?
(work 1)
echo second=$?
wait $server
echo server=$?
serve 0 2>/dev/null >/dev/null
echo again=$?
cat FOLDER/server.log
)",
      {{"FOLDER", folder_.string()}, {"SERVER", Bin("cddp-server")}, {"WORKER", Bin("cddp-worker")}});
  const Outcome outcome = RunShell(absl::StrCat("timeout -k 1 120 bash ", (folder_ / "script").string()));
  for (const char* line : {"first=0", "still_there=0", "second=0", "server=0", "again=0", "event=finished"}) {
    EXPECT_THAT(outcome.output, HasSubstr(line)) << outcome.output;
  }
}

TEST_F(ProcessTest, BadInputIsOneClearLineAndExitCodeTwo) {
  const std::string worker = absl::StrCat(Bin("cddp-worker"), " --data_dir=", data().string(), " ");
  const std::vector<BadCase> cases = {
      {Train("--nonsense"), "unknown flag --nonsense"},
      {Train("--ratio=-1"), "ratio"},
      {Train("--ratio=1.5"), "ratio"},
      {Train("--ratio=nan"), "ratio"},
      {Train("--workers=0"), "workers"},
      {Train("--lr=-1"), "--lr=-1"},
      {Train("--model=transformer"), "unknown model 'transformer'"},
      {Train("--servers=500"), "more servers (500)"},
      {Train("--batch_size=100000"), "batch"},
      {absl::StrCat(Bin("cddp"), " fly"), "fly"},
      {worker + "--model=transformer", "unknown model 'transformer'"},
      {worker + "--ratio=2", "--ratio=2"},
      {worker + "--rank=3 --workers=2", "--rank=3"},
      {worker + "--rank=some", "use a number from 0, or auto"},
      {worker + "--servers=nonsense", "'nonsense' has no port: write nonsense:50051"},
      {worker + "--data_dir=/no/such/folder", "/no/such/folder"},
      {absl::StrCat("CUDA_VISIBLE_DEVICES= ", worker, "--device=cuda"), "or compute with --device=cpu"},
      {absl::StrCat("CUDA_VISIBLE_DEVICES= ", Train("--device=cuda:1")), "or compute with --device=cpu"},
      {absl::StrCat(Bin("cddp-server"), " --listen=127.0.0.1:0 --metrics_listen= --shard=2 --shards=2"), "--shard=2"},
      {absl::StrCat(Bin("cddp-server"), " --publish_ratio=1.5"), "--publish_ratio=1.5"},
      {absl::StrCat(Bin("cddp-server"), " --max_inflight_bytes=10"), "--max_inflight_bytes=10"},
      {absl::StrCat(Bin("cddp-server"), " --listen=0.0.0.0:0"), "--insecure"},
      {absl::StrCat(Bin("cddp-worker"), " --healthcheck"), "port 0 means any free one, which nobody can connect to"},
      {absl::StrCat(Bin("cddp-server"), " --insecure --listen=256.0.0.1:0 --metrics_listen="),
       "'256.0.0.1:0' is not an IPv4 address"},
  };
  for (const BadCase& bad : cases) {
    const Outcome outcome = RunShell(bad.command);
    EXPECT_EQ(outcome.exit_code, 2) << bad.command << "\n" << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(bad.says)) << bad.command;
  }
}

// Two workers, one of which is told to stop in the middle: it finishes its step, leaves, and the other goes on alone.
TEST_F(ProcessTest, AWorkerThatIsToldToStopLeavesAndTheRestGoOn) {
  std::ofstream(folder_ / "script") << absl::StrReplaceAll(
      R"(
mkfifo FOLDER/address FOLDER/steps
SERVER --listen=127.0.0.1:0 --metrics_listen= --workers=2 --progress=json >FOLDER/address 2>FOLDER/server.log &
server=$!
read -r line <FOLDER/address
address=${line#*address\":\"}
address=${address%%\"*}
WORKER --servers="$address" --rank=1 --epochs=200 --progress=json >FOLDER/steps 2>FOLDER/worker.log &
stopped=$!
WORKER --servers="$address" --rank=0 --epochs=200 2>FOLDER/other.log &
other=$!
exec 3<FOLDER/steps
until [[ ${line:-} == *'"epoch"'* ]]; do read -r line <&3 || break; done
cat <&3 >/dev/null &
kill -TERM $stopped
wait $stopped
echo stopped=$?
wait $other
echo other=$?
kill $server
wait $server
echo server=$?
cat FOLDER/server.log FOLDER/worker.log
)",
      {{"FOLDER", folder_.string()},
       {"SERVER", Bin("cddp-server")},
       {"WORKER", absl::StrCat(Bin("cddp-worker"), " --model=mlp --batch_size=16 --workers=2 --metrics_listen=",
                               " --data_dir=", data().string())}});
  const Outcome outcome = RunShell(absl::StrCat("timeout 120 bash ", (folder_ / "script").string()));
  EXPECT_THAT(outcome.output, HasSubstr("stopped=143")) << "as if it had died of SIGTERM: worth starting again";
  EXPECT_THAT(outcome.output, HasSubstr("event=leave rank=1 finished=false"));
  EXPECT_THAT(outcome.output, HasSubstr("stopped by a signal after step"));
  EXPECT_THAT(outcome.output, HasSubstr("other=0"));
  EXPECT_THAT(outcome.output, HasSubstr("event=leave rank=0 finished=true"));
  EXPECT_THAT(outcome.output, HasSubstr("server=0"));
}

// A worker that waits for a server is not between two steps.
TEST_F(ProcessTest, AWorkerThatIsStuckStopsAllTheSame) {
  std::ofstream(folder_ / "script") << absl::StrReplaceAll(
      R"(
WORKER --servers=127.0.0.1:1 2>FOLDER/log &
worker=$!
until grep -q 'event=waiting_for_server' FOLDER/log; do kill -0 $worker || break; done
kill -TERM $worker
wait $worker
echo worker=$?
cat FOLDER/log
)",
      {{"FOLDER", folder_.string()},
       {"WORKER", absl::StrCat(Bin("cddp-worker"),
                               " --model=mlp --stop_timeout=300ms --metrics_listen= --data_dir=", data().string())}});
  const Outcome outcome = RunShell(absl::StrCat("timeout 120 bash ", (folder_ / "script").string()));
  EXPECT_THAT(outcome.output, HasSubstr("worker=143"));
  EXPECT_THAT(outcome.output, HasSubstr("the time to end is over"));
}

TEST_F(ProcessTest, WorkersMayStartBeforeTheirServer) {
  std::ofstream(folder_ / "script") << absl::StrReplaceAll(
      R"(
mkfifo FOLDER/address
SERVER --listen=127.0.0.1:0 --progress=json >FOLDER/address 2>/dev/null &
server=$!
read -r line <FOLDER/address
address=${line#*address\":\"}
address=${address%%\"*}
kill $server
wait $server
WORKER --servers="$address" --epochs=1 2>FOLDER/worker.log &
worker=$!
until grep -q 'event=waiting_for_server' FOLDER/worker.log; do kill -0 $worker || break; done
SERVER --listen="$address" 2>FOLDER/server.log &
server=$!
wait $worker
echo worker=$?
kill $server
wait $server
cat FOLDER/server.log
)",
      {{"FOLDER", folder_.string()},
       {"SERVER", absl::StrCat(Bin("cddp-server"), " --metrics_listen= ")},
       {"WORKER", absl::StrCat(Bin("cddp-worker"), " --model=mlp --batch_size=16 --data_dir=", data().string())}});
  const Outcome outcome = RunShell(absl::StrCat("timeout 120 bash ", (folder_ / "script").string()));
  EXPECT_THAT(outcome.output, HasSubstr("worker=0"));
  EXPECT_THAT(outcome.output, HasSubstr("event=leave rank=0 finished=true"));
}

TEST_F(ProcessTest, DamagedDataSetsAreNamed) {
  const std::filesystem::path images = data() / "train-images-idx3-ubyte";
  std::filesystem::resize_file(images, 100);
  Outcome outcome = RunShell(absl::StrCat(Bin("cddp-worker"), " --data_dir=", data().string()));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("train-images-idx3-ubyte"));
  EXPECT_THAT(outcome.output, HasSubstr("truncated"));
  std::filesystem::remove(images);
  outcome = RunShell(absl::StrCat(Bin("cddp-worker"), " --data_dir=", data().string()));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("train-images-idx3-ubyte"));
}

TEST_F(ProcessTest, AnUnreachableServerIsNamedAfterTheStatedTime) {
  const Outcome outcome = RunShell(absl::StrCat(Bin("cddp-worker"), " --model=mlp --data_dir=", data().string(),
                                                " --servers=127.0.0.1:1 --server_timeout=300ms"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, ContainsRegex("server 127.0.0.1:1 was out of reach for"));
}

TEST_F(ProcessTest, ATakenPortIsAnErrorNotASharedPort) {
  // The first server tells its address in a pipe and runs on; the second wants the same port.
  std::ofstream(folder_ / "script") << absl::StrReplaceAll(
      R"(
mkfifo FOLDER/out
SERVER --listen=127.0.0.1:0 --metrics_listen= --progress=json >FOLDER/out 2>/dev/null &
server=$!
read -r line <FOLDER/out
address=${line#*address\":\"}
address=${address%%\"*}
SERVER --healthcheck="$address"
echo healthy=$?
SERVER --metrics_listen= --listen="$address"
code=$?
kill $server
wait $server
echo first=$?
SERVER --healthcheck --listen="$address"
echo gone=$?
exit $code
)",
      {{"FOLDER", folder_.string()}, {"SERVER", Bin("cddp-server")}});
  const Outcome outcome = RunShell(absl::StrCat("bash ", (folder_ / "script").string()));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("cannot listen on 127.0.0.1:"));
  EXPECT_THAT(outcome.output, HasSubstr("healthy=0"));
  EXPECT_THAT(outcome.output, HasSubstr("first=0")) << "SIGTERM ends a server cleanly";
  EXPECT_THAT(outcome.output, HasSubstr("gone=1"));
}

}  // namespace
}  // namespace cddp
