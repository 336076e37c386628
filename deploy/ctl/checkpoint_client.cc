#include "deploy/ctl/checkpoint_client.h"

#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/clock/monotonic.h"
#include "common/clock/steady_time.h"
#include "common/codec/crc32c.h"
#include "common/retry/retry_call.h"
#include "common/transport/call_identity.h"
#include "common/transport/channel.h"
#include "common/transport/deadline.h"
#include "common/transport/intended_server.h"
#include "common/transport/layout_message.h"
#include "common/transport/reach.h"
#include "common/transport/status.h"
#include "deploy/ctl/one_cluster.h"
#include "deploy/ctl/trained_steps.h"

namespace cddp::ctl {
namespace {

// How long a server may be out of reach.
constexpr absl::Duration kCallPatience = absl::Seconds(10);
constexpr absl::Duration kLook = absl::Milliseconds(100);
constexpr uint64_t kTries = 4;

}  // namespace

CheckpointClient::CheckpointClient(const std::vector<std::string>& addresses, const ClientSecurity* security,
                                   absl::Duration timeout)
    : addresses_(addresses), security_(security), timeout_(timeout) {
  for (const std::string& address : addresses) {
    stubs_.push_back(v1::ParameterServer::NewStub(CreateChannel(address, security)));
  }
}

absl::Status CheckpointClient::Call(size_t server, absl::Duration try_timeout, const ServerCall& call) {
  RetryOptions options;
  options.patience = std::min(kCallPatience, timeout_);
  options.try_timeout = try_timeout;
  Retry retry(options, server);
  SystemClock clock;
  bool told = false;
  const absl::Status status = RetryCall(
      clock, retry, [&](absl::Duration timeout) { return call(*stubs_[server], retry, timeout); },
      [&](const absl::Status& failed, absl::Duration) {
        // A new channel looks the name up again.
        if (IsWrongServer(failed)) {
          stubs_[server] = v1::ParameterServer::NewStub(CreateChannel(addresses_[server], security_));
        }
        if (std::exchange(told, true)) return;
        const absl::Status why = Explain(addresses_[server], security_, failed);
        spdlog::info("event=waiting_for_server server={} reason=\"{}\"", addresses_[server],
                     std::string(why.message()));
      });
  if (status.ok()) return status;
  const absl::Duration failing_for = retry.FailingFor(clock.Now());
  return GaveUp(addresses_[server], failing_for, Explain(addresses_[server], security_, status));
}

absl::Status CheckpointClient::CheckServers(const std::vector<ServerStatus>& servers) {
  if (absl::Status status = CheckOneCluster(servers); !status.ok()) return status;
  const uint32_t count = servers.front().response->shard_count();
  if (count != servers.size()) {
    return absl::InvalidArgumentError(absl::StrCat("server ", servers.front().address, " is one of ", count,
                                                   ", but --servers names ", servers.size(), ": name all of them"));
  }
  const std::string& run = servers.front().response->run();
  if (!run_.empty() && run != run_) {
    return absl::InvalidArgumentError(absl::StrCat("the servers held run ", run_, " before, and hold run ", run,
                                                   " now: has another training begun there?"));
  }
  run_ = run;
  agreement_ = servers.front().response->agreement();
  shards_.clear();
  for (const ServerStatus& server : servers) shards_.push_back(server.response->shard());
  return absl::OkStatus();
}

void CheckpointClient::NameIn(size_t server, grpc::ClientContext* context) const {
  SetIntendedServer(context, shards_[server], static_cast<uint32_t>(shards_.size()));
  SetCallRun(context, run_);
}

absl::StatusOr<CheckpointClient::Versions> CheckpointClient::Look() {
  std::vector<ServerStatus> servers;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    v1::StatusResponse response;
    const absl::Status status =
        Call(i, RetryOptions().try_timeout, [&](v1::ParameterServer::Stub& stub, Retry&, absl::Duration timeout) {
          grpc::ClientContext context;
          context.set_deadline(DeadlineIn(timeout));
          return FromGrpc(stub.Status(&context, {}, &response));
        });
    if (!status.ok()) return status;
    servers.push_back({addresses_[i], std::move(response), SteadyNow()});
  }
  if (absl::Status status = CheckServers(servers); !status.ok()) return status;
  Versions versions;
  versions.least = UINT64_MAX;
  for (const ServerStatus& server : servers) {
    versions.least = std::min<uint64_t>(versions.least, server.response->min_version());
    versions.newest = std::max<uint64_t>(versions.newest, server.response->max_version());
    for (const v1::WorkerStatus& worker : server.response->workers()) {
      versions.has_workers |= worker.state() == v1::WorkerStatus::JOINED;
    }
  }
  if (versions.newest == 0) return absl::FailedPreconditionError("there are no weights yet: no training has begun");
  return versions;
}

absl::Status CheckpointClient::MakeAt(uint64_t version) {
  const absl::Duration end = MonotonicNow() + timeout_;
  std::vector<absl::Status> results(stubs_.size());
  std::vector<std::thread> calls;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    calls.emplace_back([&, i] {
      // A call that fails while it waits for the version is made again: a version written meanwhile is refused as past,
      // and Make() asks for a later version.
      bool late = false;
      results[i] = Call(i, absl::InfiniteDuration(), [&](v1::ParameterServer::Stub& stub, Retry&, absl::Duration) {
        grpc::ClientContext context;
        context.set_deadline(DeadlineIn(end - MonotonicNow()));
        NameIn(i, &context);
        v1::CheckpointRequest request;
        request.set_version(version);
        v1::CheckpointResponse response;
        const grpc::Status status = stub.Checkpoint(&context, request, &response);
        late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
        return late ? absl::AbortedError(status.error_message()) : FromGrpc(status);
      });
      if (!late) return;
      results[i] = absl::DeadlineExceededError(
          absl::StrCat("server ", addresses_[i], " did not reach version ", version, " in ",
                       absl::FormatDuration(timeout_), ": is the training running? (cddp status, --reach_timeout)"));
    });
  }
  for (std::thread& call : calls) call.join();
  for (const absl::Status& result : results) {
    if (!result.ok()) return result;
  }
  return absl::OkStatus();
}

absl::Status CheckpointClient::LookTwice(Versions* before, Versions* now) {
  absl::StatusOr<Versions> look = Look();
  for (absl::Duration waited; look.ok(); waited += kLook) {
    *before = *look;
    absl::SleepFor(kLook);
    look = Look();
    if (!look.ok()) break;
    *now = *look;
    const bool apart = now->least < now->newest && now->newest == before->newest;
    if (apart && !now->has_workers) {
      return absl::AbortedError(
          absl::StrCat("the workers are gone in mid step: the parts of the model are at versions ", now->least, " to ",
                       now->newest));
    }
    if (!apart || waited > timeout_) return absl::OkStatus();
  }
  return look.status();
}

absl::StatusOr<uint64_t> CheckpointClient::Make() {
  // While servers train, the version has to be one that none has reached when it is asked; where the training stands
  // still, it has to be the present one.
  absl::Status last;
  for (uint64_t margin = 2, left = kTries; left > 0; margin *= 8, --left) {
    Versions before, now;
    if (absl::Status status = LookTwice(&before, &now); !status.ok()) return status;
    const uint64_t version =
        now.newest == before.newest ? now.newest : now.newest + (now.newest - before.newest) * margin;
    last = MakeAt(version);
    if (last.ok()) return version;
    if (!absl::IsFailedPrecondition(last)) return last;
  }
  return last;
}

absl::Status CheckpointClient::Take(const v1::SnapshotChunk& chunk, Reading* reading) {
  std::optional<ClusterWeights>& read = reading->weights;
  if (!read.has_value()) {
    absl::StatusOr<ParameterLayout> layout = FromMessage(chunk.layout());
    if (!layout.ok()) return layout.status();
    reading->taken.resize(layout->bucket_count());
    const uint64_t elements = layout->total_elements();
    read = ClusterWeights{*std::move(layout), std::vector<float>(elements)};
  }
  if (chunk.bucket() >= reading->taken.size() ||
      chunk.weights().size() != read->layout.bucket_length(chunk.bucket()) * sizeof(float) ||
      Crc32c(chunk.weights().data(), chunk.weights().size()) != chunk.crc32c()) {
    return absl::DataLossError(absl::StrCat("bucket ", chunk.bucket(), " came damaged, or is of another model"));
  }
  std::memcpy(read->weights.data() + read->layout.bucket_range(chunk.bucket()).begin, chunk.weights().data(),
              chunk.weights().size());
  reading->taken[chunk.bucket()] = true;
  reading->version = std::min<uint64_t>(reading->version, chunk.version());
  return absl::OkStatus();
}

absl::StatusOr<ClusterWeights> CheckpointClient::Read(uint64_t version) {
  if (shards_.empty()) {
    if (absl::Status status = Look().status(); !status.ok()) return status;
  }
  Reading reading;
  v1::SnapshotRequest request;
  request.set_version(version);
  SystemClock clock;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    const auto stream = [&](v1::ParameterServer::Stub& stub, Retry& retry, absl::Duration) {
      grpc::ClientContext context;
      NameIn(i, &context);
      const auto reader = stub.Snapshot(&context, request);
      v1::SnapshotChunk chunk;
      absl::Status taken;
      while (taken.ok() && reader->Read(&chunk)) {
        taken = Take(chunk, &reading);
        retry.NoteProgress(clock.Now());
      }
      if (!taken.ok()) context.TryCancel();
      const grpc::Status status = reader->Finish();
      return taken.ok() ? FromGrpc(status) : taken;
    };
    if (absl::Status status = Call(i, absl::InfiniteDuration(), stream); !status.ok()) return status;
  }
  if (!reading.weights.has_value() ||
      std::find(reading.taken.begin(), reading.taken.end(), false) != reading.taken.end()) {
    return absl::InvalidArgumentError(
        "--servers does not name all servers of the cluster: parts of the model are missing");
  }
  reading.weights->steps = TrainedSteps(agreement_, reading.weights->layout, reading.weights->weights, reading.version);
  return *std::move(reading.weights);
}

}  // namespace cddp::ctl
