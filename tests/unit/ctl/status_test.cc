// `cddp status` against servers with given answers.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "deploy/ctl/status_client.h"
#include "deploy/ctl/status_table.h"
#include "tests/unit/ctl/run_cddp.h"

namespace cddp::ctl {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

v1::StatusResponse SampleStatus(uint32_t shard) {
  v1::StatusResponse status;
  status.set_shard(shard);
  status.set_shard_count(2);
  status.set_worker_count(2);
  status.set_view(3);
  status.set_parameters(1'199'882);
  status.set_shard_parameters(655'360);
  status.set_bucket_begin(10 * shard);
  status.set_bucket_end(10 * shard + 10);
  status.set_min_version(411);
  status.set_max_version(412);
  status.set_received_bytes(5'000'000);
  status.set_sent_bytes(6'000'000);
  status.set_exchanges(1000);
  status.set_refused_exchanges(2);
  status.set_uptime_ms(75'000);
  for (uint32_t rank : {0, 1}) {
    v1::WorkerStatus* worker = status.add_workers();
    worker->mutable_worker()->set_rank(rank);
    worker->set_state(rank == 0 ? v1::WorkerStatus::JOINED : v1::WorkerStatus::LOST);
    worker->set_step(410 + shard);
    worker->set_silent_ms(100 + shard);
    worker->set_loss(0.25);
    worker->set_received_bytes(1'000'000);
    worker->set_sent_bytes(2'000'000);
  }
  return status;
}

ServerStatus At(const std::string& address, absl::StatusOr<v1::StatusResponse> response, int second) {
  return {address, std::move(response), absl::FromUnixSeconds(second)};
}

TEST(StatusTableTest, ShardsAndWorkers) {
  v1::StatusResponse later = SampleStatus(0);
  later.set_received_bytes(7'000'000);
  later.set_sent_bytes(6'500'000);
  later.set_exchanges(1300);
  later.add_waiting_for(1);
  later.set_waiting_ms(2500);
  const std::string text = StatusTables({At("a:1", SampleStatus(0), 10), At("b:2", SampleStatus(1), 10)},
                                        {At("a:1", later, 12), At("b:2", SampleStatus(1), 12)});
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  EXPECT_EQ(lines[0], "2 of 2 servers answer, 1 of 2 workers take part, view 3, 1,199,882 parameters, up 1 min 15 s");
  EXPECT_THAT(lines[2], ContainsRegex("^SHARD +ADDRESS +BUCKETS +PARAMETERS +VERSION +RECEIVED"));
  EXPECT_THAT(lines[3], ContainsRegex("^0 +a:1 +0\\.\\.9 +655,360 +411\\.\\.412 +7.00 MB +1.00 MB/s +6.50 MB +250 kB/s "
                                      "+150 +2 +0 +worker 1 for 2.5 s$"));
  EXPECT_THAT(lines[4], ContainsRegex("^1 +b:2 +10\\.\\.19 .* 0 B/s .* -$"));
  EXPECT_THAT(lines[6], ContainsRegex("^WORKER +STATE +STEP"));
  // Summed over shards; told by the shard that heard of it last.
  EXPECT_THAT(lines[7], ContainsRegex("^0 +joined +410\\.\\.411 +100 ms +0.2500 +2.00 MB +4.00 MB$"));
  EXPECT_THAT(lines[8], ContainsRegex("^1 +LOST "));
}

TEST(StatusTableTest, AJoinersDownloadAndItsRate) {
  v1::StatusResponse first = SampleStatus(0);
  v1::StatusResponse second = SampleStatus(1);
  v1::WorkerStatus* joiner = first.mutable_workers(0);
  joiner->set_catching_up(true);
  joiner->set_read_bytes(9'000'000);
  joiner->set_read_ms(4000);
  second.mutable_workers(0)->set_catching_up(true);
  second.mutable_workers(0)->set_read_bytes(1'000'000);
  second.mutable_workers(0)->set_read_ms(1000);
  const std::vector<ServerStatus> servers = {At("a:1", first, 1), At("b:2", second, 1)};
  EXPECT_THAT(StatusTables(servers, servers), HasSubstr("\n0       catching up, 10.0 MB at 2.50 MB/s  "));
  // It has been lost meanwhile.
  for (v1::StatusResponse* each : {&first, &second}) each->mutable_workers(0)->set_state(v1::WorkerStatus::LOST);
  const std::vector<ServerStatus> later = {At("a:1", first, 2), At("b:2", second, 2)};
  EXPECT_THAT(StatusTables(later, later), ContainsRegex("\n0 +LOST "));
}

TEST(StatusTableTest, AServerThatDoesNotAnswerIsARowThatSaysSo) {
  const absl::Status gone = absl::UnavailableError("failed to connect");
  const std::string text = StatusTables({At("a:1", SampleStatus(0), 10), At("b:2", gone, 10)},
                                        {At("a:1", SampleStatus(0), 12), At("b:2", gone, 12)});
  EXPECT_THAT(text, StartsWith("1 of 2 servers answer"));
  EXPECT_THAT(text, HasSubstr("b:2      no answer: UNAVAILABLE: failed to connect\n"));
  EXPECT_EQ(StatusTables({At("b:2", gone, 10)}, {At("b:2", gone, 12)}).find("0 of 1 servers answer\n"), 0u);
}

TEST(StatusTableTest, NoRatesWithoutACounterToCompareWith) {
  v1::StatusResponse restarted = SampleStatus(0);
  restarted.set_received_bytes(10);
  restarted.set_sent_bytes(10);
  restarted.set_exchanges(1);
  for (const auto& before : {At("a:1", SampleStatus(0), 10), At("a:1", absl::UnavailableError("x"), 10)}) {
    EXPECT_THAT(StatusTables({before}, {At("a:1", restarted, 12)}), Not(HasSubstr("/s\n")));
    EXPECT_THAT(StatusTables({before}, {At("a:1", restarted, 12)}), ContainsRegex("10 B +- +10 B +- +- "));
  }
}

TEST(StatusTableTest, ServersOfAClusterThatWereNotNamed) {
  EXPECT_THAT(StatusTables({At("a:1", SampleStatus(0), 1)}, {At("a:1", SampleStatus(0), 2)}),
              HasSubstr("(the cluster has 2 shards)"));
}

TEST(StatusTableTest, EachShardCountsItsOwnViews) {
  v1::StatusResponse other = SampleStatus(1);
  other.set_view(5);
  const std::vector<ServerStatus> servers = {At("a:1", SampleStatus(0), 1), At("b:2", other, 1)};
  EXPECT_THAT(StatusTables(servers, servers), HasSubstr("workers take part, view 3..5, "));
}

TEST(StatusTableTest, BeforeTheFirstWorkerJoins) {
  v1::StatusResponse fresh;
  fresh.set_shard_count(1);
  const std::string text = StatusTables({At("a:1", fresh, 1)}, {At("a:1", fresh, 2)});
  EXPECT_THAT(text, HasSubstr("no model yet"));
  EXPECT_THAT(text, Not(HasSubstr("WORKER")));
}

// Answers each Status call with numbers that have grown.
class FakeServer : public v1::ParameterServer::Service {
 public:
  explicit FakeServer(uint32_t shard) : shard_(shard) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }

  grpc::Status Status(grpc::ServerContext*, const v1::StatusRequest*, v1::StatusResponse* response) override {
    *response = SampleStatus(shard_);
    response->set_exchanges(1000 * ++calls_);
    return grpc::Status::OK;
  }

  const std::string& address() const { return address_; }

 private:
  const uint32_t shard_;
  uint64_t calls_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// Nobody listens there: port 1 is not given out by the kernel.
constexpr char kNobody[] = "127.0.0.1:1";

TEST(StatusClientTest, AsksAllServersInOrder) {
  FakeServer a(0), b(1);
  StatusClient client({b.address(), kNobody, a.address()});
  const std::vector<ServerStatus> servers = client.Query(absl::Seconds(2), absl::Seconds(2));
  ASSERT_EQ(servers.size(), 3u);
  EXPECT_EQ(servers[0].response.value().shard(), 1u);
  EXPECT_EQ(servers[1].response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(servers[2].response.value().shard(), 0u);
  EXPECT_EQ(servers[2].address, a.address());
}

TEST(StatusCommandTest, PrintsTables) {
  FakeServer a(0), b(1);
  CddpFolder folder;
  const Finished run = folder.Run(absl::StrCat("status --interval=0.05 --servers=", a.address(), ",", b.address()));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("2 of 2 servers answer"));
  EXPECT_THAT(run.out, HasSubstr(b.address()));
}

TEST(StatusCommandTest, ExitCodeTellsOfAServerThatDoesNotAnswer) {
  FakeServer a(0);
  CddpFolder folder;
  const Finished run =
      folder.Run(absl::StrCat("status --interval=0.05 --timeout=1 --servers=", a.address(), ",", kNobody));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(run.out, HasSubstr("no answer: UNAVAILABLE"));
}

TEST(StatusCommandTest, Json) {
  FakeServer a(0);
  CddpFolder folder;
  const Finished run = folder.Run(absl::StrCat("status --json --timeout=1 --servers=", a.address(), ",", kNobody));
  EXPECT_EQ(run.exit_code, 1);
  const nlohmann::json servers = nlohmann::json::parse(run.out)["servers"];
  EXPECT_EQ(servers[0]["address"], a.address());
  EXPECT_EQ(servers[0]["status"]["shard"], 0);
  EXPECT_EQ(servers[0]["status"]["parameters"], "1199882");
  EXPECT_EQ(servers[0]["status"]["workers"][1]["state"], "LOST");
  EXPECT_THAT(servers[1]["error"].get<std::string>(), StartsWith("UNAVAILABLE"));
}

}  // namespace
}  // namespace cddp::ctl
