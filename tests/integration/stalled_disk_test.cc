// A disk that stands still keeps back what waits for it, and nothing else: no thread of gRPC waits with it, so that
// heartbeats and Status are answered and no living worker is retired.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/sync/mutex.h"
#include "common/transport/channel.h"
#include "common/transport/layout_message.h"
#include "common/transport/protocol.h"
#include "server/server.h"
#include "tests/unit/journal/faulty_files.h"

namespace cddp {
namespace {

constexpr absl::Duration kLease = absl::Seconds(2);  // a busy machine sends heartbeats within it
constexpr int kWaitingCalls = 12;                    // of each kind: more than gRPC has threads

// Where writes to the journal stop while it is closed.
class Gate {
 public:
  void Close() {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  void Open() {
    MutexLock lock(mutex_);
    closed_ = false;
    changed_.NotifyAll();
  }
  void Pass() {
    MutexLock lock(mutex_);
    if (!closed_) return;
    reached_ = true;
    changed_.NotifyAll();
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !closed_; });
  }
  void AwaitStall() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return reached_; });
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool reached_ ABSL_GUARDED_BY(mutex_) = false;
};

// Calls under way, and how they ended.
class Calls {
 public:
  ~Calls() { AwaitAll(); }

  void Begin() {
    MutexLock lock(mutex_);
    ++left_;
  }
  void End(const grpc::Status& status) {
    MutexLock lock(mutex_);
    --left_;
    if (!status.ok()) errors_.push_back(status.error_message());
    changed_.NotifyAll();
  }
  int left() {
    MutexLock lock(mutex_);
    return left_;
  }
  std::vector<std::string> AwaitAll() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return left_ == 0; });
    return errors_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int left_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> errors_ ABSL_GUARDED_BY(mutex_);
};

// Reads a whole Snapshot. Deletes itself.
class SnapshotReading final : public grpc::ClientReadReactor<v1::SnapshotChunk> {
 public:
  SnapshotReading(v1::ParameterServer::Stub* stub, Calls* calls) : calls_(*calls) {
    calls_.Begin();
    stub->async()->Snapshot(&context_, &request_, this);
    StartRead(&chunk_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (ok) StartRead(&chunk_);
  }
  void OnDone(const grpc::Status& status) override {
    calls_.End(status);
    delete this;
  }

 private:
  Calls& calls_;
  grpc::ClientContext context_;
  v1::SnapshotRequest request_;
  v1::SnapshotChunk chunk_;
};

class StalledDiskTest : public ::testing::Test {
 protected:
  StalledDiskTest() {
    files_.BeforeAppend("journal", [this] { gate_.Pass(); });
    ServerOptions options;
    options.metrics_listen = "";
    options.shard.worker_count = 2;
    options.shard.lease = kLease;
    options.shard.state_dir = "state";
    options.shard.files = &files_;
    server_ = *Server::Start(options);
    stub_ = v1::ParameterServer::NewStub(CreateChannel(server_->address()));
    for (uint32_t rank = 0; rank < 2; ++rank) {
      grpc::ClientContext context;
      v1::JoinResponse response;
      EXPECT_TRUE(stub_->Join(&context, JoinOf(rank, 1), &response).ok());
    }
    PushInitialWeights();
  }

  static v1::JoinRequest JoinOf(uint32_t rank, uint64_t incarnation) {
    v1::JoinRequest request;
    request.set_protocol_version(kProtocolVersion);
    request.mutable_worker()->set_rank(rank);
    request.mutable_worker()->set_incarnation(incarnation);
    request.set_worker_count(2);
    *request.mutable_layout() = ToMessage(*ParameterLayout::Create({{"w", {8}}}, 8));
    return request;
  }

  // Step 0, with zeros.
  void PushInitialWeights() {
    Calls calls;
    for (uint32_t rank = 0; rank < 2; ++rank) {
      v1::ExchangeRequest request;
      request.mutable_worker()->set_rank(rank);
      request.mutable_worker()->set_incarnation(1);
      request.add_pushes()->set_bucket(0);
      Start<v1::ExchangeResponse>(
          request, [](auto* stub, auto... arguments) { stub->Exchange(arguments...); }, &calls);
    }
    EXPECT_TRUE(calls.AwaitAll().empty());
  }

  // Makes a call by invoke(stub, context, request, response, done).
  template <typename Response, typename Request, typename Invoke>
  void Start(const Request& request, const Invoke& invoke, Calls* calls) {
    struct Call {
      grpc::ClientContext context;
      Request request;
      Response response;
    };
    auto call = std::make_shared<Call>();
    call->request = request;
    calls->Begin();
    invoke(stub_->async(), &call->context, &call->request, &call->response,
           [call, calls](const grpc::Status& status) { calls->End(status); });
  }

  grpc::Status Heartbeat(uint32_t rank) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    v1::HeartbeatRequest request;
    request.mutable_worker()->set_rank(rank);
    request.mutable_worker()->set_incarnation(1);
    v1::HeartbeatResponse response;
    return stub_->Heartbeat(&context, request, &response);
  }

  FaultyFiles files_;
  Gate gate_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::ParameterServer::Stub> stub_;
};

TEST_F(StalledDiskTest, OnlyWhatMustBeOnTheDiskWaits) {
  Calls waiting;
  const auto leave = [&] {
    v1::LeaveRequest request;
    request.mutable_worker()->set_rank(1);
    request.mutable_worker()->set_incarnation(1);
    Start<v1::LeaveResponse>(
        request, [](auto* stub, auto... arguments) { stub->Leave(arguments...); }, &waiting);
  };
  gate_.Close();
  leave();
  gate_.AwaitStall();
  for (int i = 0; i < kWaitingCalls; ++i) {
    leave();
    Start<v1::JoinResponse>(
        JoinOf(0, 1), [](auto* stub, auto... arguments) { stub->Join(arguments...); }, &waiting);
    new SnapshotReading(stub_.get(), &waiting);
  }

  // Longer than a lease: were these not answered, worker 0 would be lost.
  const absl::Time end = absl::Now() + 1.5 * kLease;
  for (bool all_answered = true; all_answered && absl::Now() < end;) {
    const grpc::Status status = Heartbeat(0);
    all_answered = status.ok();
    EXPECT_TRUE(all_answered) << status.error_message();
  }
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
  v1::StatusResponse status;
  EXPECT_TRUE(stub_->Status(&context, {}, &status).ok());
  ASSERT_EQ(status.workers_size(), 2);
  EXPECT_EQ(status.workers(0).state(), v1::WorkerStatus::JOINED) << "it has sent heartbeats all the time";
  EXPECT_EQ(waiting.left(), 1 + 3 * kWaitingCalls) << "answered before it was on the disk";

  gate_.Open();
  EXPECT_TRUE(waiting.AwaitAll().empty());
}

}  // namespace
}  // namespace cddp
