#include "deploy/ctl/checkpoint_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/codec/crc32c.h"
#include "common/transport/channel.h"
#include "common/transport/layout_message.h"
#include "common/transport/status.h"

namespace cddp::ctl {
namespace {

constexpr absl::Duration kShortCall = absl::Seconds(5);
constexpr absl::Duration kLook = absl::Milliseconds(100);
constexpr uint64_t kTries = 4;

}  // namespace

CheckpointClient::CheckpointClient(const std::vector<std::string>& addresses, const ClientSecurity* security,
                                   absl::Duration timeout)
    : addresses_(addresses), timeout_(timeout) {
  for (const std::string& address : addresses) {
    stubs_.push_back(v1::ParameterServer::NewStub(CreateChannel(address, security)));
  }
}

absl::Status CheckpointClient::Named(size_t server, const grpc::Status& status) const {
  return absl::Status(FromGrpc(status).code(),
                      absl::StrCat("server ", addresses_[server], ": ", status.error_message()));
}

absl::StatusOr<uint64_t> CheckpointClient::Newest() {
  uint64_t newest = 0;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kShortCall));
    v1::StatusResponse response;
    const grpc::Status status = stubs_[i]->Status(&context, {}, &response);
    if (!status.ok()) return Named(i, status);
    if (response.shard_count() != stubs_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("server ", addresses_[i], " is one of ", response.shard_count(),
                                                     ", but --servers names ", stubs_.size(), ": name all of them"));
    }
    newest = std::max(newest, response.max_version());
  }
  if (newest == 0) return absl::FailedPreconditionError("there are no weights yet: no training has begun");
  return newest;
}

absl::Status CheckpointClient::MakeAt(uint64_t version) {
  std::vector<grpc::Status> results(stubs_.size());
  std::vector<std::thread> calls;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    calls.emplace_back([&, i] {
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(absl::Now() + timeout_));
      v1::CheckpointRequest request;
      request.set_version(version);
      v1::CheckpointResponse response;
      results[i] = stubs_[i]->Checkpoint(&context, request, &response);
    });
  }
  for (std::thread& call : calls) call.join();
  for (size_t i = 0; i < stubs_.size(); ++i) {
    if (results[i].error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      return absl::DeadlineExceededError(absl::StrCat("server ", addresses_[i], " did not come to version ", version,
                                                      " in ", absl::FormatDuration(timeout_),
                                                      ": does the training go on? (cddp status, --timeout)"));
    }
    if (!results[i].ok()) return Named(i, results[i]);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CheckpointClient::Make() {
  // While servers train, the version has to be one that none has reached when it is asked; where the training stands
  // still, it has to be the present one.
  absl::Status last;
  for (uint64_t margin = 2, left = kTries; left > 0; margin *= 8, --left) {
    const absl::StatusOr<uint64_t> before = Newest();
    if (!before.ok()) return before.status();
    absl::SleepFor(kLook);
    const absl::StatusOr<uint64_t> newest = Newest();
    if (!newest.ok()) return newest.status();
    const uint64_t version = *newest == *before ? *newest : *newest + (*newest - *before) * margin;
    last = MakeAt(version);
    if (last.ok()) return version;
    if (!absl::IsFailedPrecondition(last)) return last;
  }
  return last;
}

absl::StatusOr<ClusterWeights> CheckpointClient::Read(uint64_t version) {
  std::optional<ClusterWeights> read;
  std::vector<bool> taken;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    grpc::ClientContext context;
    v1::SnapshotRequest request;
    request.set_version(version);
    const auto reader = stubs_[i]->Snapshot(&context, request);
    v1::SnapshotChunk chunk;
    while (reader->Read(&chunk)) {
      const auto fail = [&](const absl::Status& status) {
        context.TryCancel();
        return status;
      };
      if (!read.has_value()) {
        absl::StatusOr<ParameterLayout> layout = FromMessage(chunk.layout());
        if (!layout.ok()) return fail(layout.status());
        taken.resize(layout->bucket_count());
        const uint64_t elements = layout->total_elements();
        read = ClusterWeights{*std::move(layout), std::vector<float>(elements)};
      }
      if (chunk.bucket() >= taken.size() ||
          chunk.weights().size() != read->layout.bucket_length(chunk.bucket()) * sizeof(float) ||
          Crc32c(chunk.weights().data(), chunk.weights().size()) != chunk.crc32c()) {
        return fail(absl::DataLossError(absl::StrCat("server ", addresses_[i], ": bucket ", chunk.bucket(),
                                                     " came damaged, or is of another model")));
      }
      std::memcpy(read->weights.data() + read->layout.bucket_range(chunk.bucket()).begin, chunk.weights().data(),
                  chunk.weights().size());
      taken[chunk.bucket()] = true;
    }
    if (const grpc::Status status = reader->Finish(); !status.ok()) return Named(i, status);
  }
  if (!read.has_value() || std::find(taken.begin(), taken.end(), false) != taken.end()) {
    return absl::InvalidArgumentError(
        "--servers does not name all servers of the cluster: parts of the model are missing");
  }
  return *std::move(read);
}

}  // namespace cddp::ctl
