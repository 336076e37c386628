#include "worker/cluster/snapshot.h"

#include <grpcpp/grpcpp.h>

#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/codec/crc32c.h"
#include "common/retry/retry_call.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

absl::Status Take(const v1::SnapshotChunk& chunk, const Cluster::TakeBucket& take) {
  if (Crc32c(chunk.weights().data(), chunk.weights().size()) != chunk.crc32c()) {
    return absl::DataLossError(absl::StrCat("bucket ", chunk.bucket(), " came damaged (checksum)"));
  }
  std::vector<float> weights(chunk.weights().size() / sizeof(float));
  std::memcpy(weights.data(), chunk.weights().data(), weights.size() * sizeof(float));
  return take(chunk.bucket(), chunk.version(), weights);
}

}  // namespace

absl::Status ReadServersSnapshot(const GrpcClusterOptions& options, ServerConnection* server,
                                 const Cluster::TakeBucket& take) {
  RetryOptions retry_options;
  retry_options.patience = options.server_timeout;
  retry_options.try_timeout = absl::InfiniteDuration();  // a slow network takes as long as it takes; keepalive finds a
                                                         // server that is gone
  Retry retry(retry_options, options.rank);
  SystemClock clock;
  v1::SnapshotRequest request;
  const auto attempt = [&](absl::Duration) {
    grpc::ClientContext context;
    server->NameIn(&context);
    const std::shared_ptr<ServerStubs> stubs = server->stubs.get();  // outlives the reader
    const auto reader = stubs->typed->Snapshot(&context, request);
    v1::SnapshotChunk chunk;
    while (reader->Read(&chunk)) {
      if (absl::Status status = Take(chunk, take); !status.ok()) {
        context.TryCancel();
        reader->Finish();
        return status;
      }
      request.set_first_bucket(chunk.bucket() + 1);
      retry.NoteProgress(clock.Now());
    }
    return FromGrpc(reader->Finish());
  };
  const auto tell = [&](const absl::Status& failed, absl::Duration) {
    server->stubs.NoteFailure(failed);
    server->TellWaiting(failed.message());
  };
  const absl::Status status = RetryCall(clock, retry, attempt, tell);
  return status.ok() ? status : GaveUp(server->address(), retry.FailingFor(clock.Now()), status);
}

}  // namespace cddp
