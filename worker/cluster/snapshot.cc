#include "worker/cluster/snapshot.h"

#include <grpcpp/grpcpp.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/clock/monotonic.h"
#include "common/codec/crc32c.h"
#include "common/log/log.h"
#include "common/retry/retry_call.h"
#include "common/transport/status.h"
#include "worker/cluster/join.h"

namespace cddp {
namespace {

absl::Status Take(const v1::SnapshotChunk& chunk, const Cluster::TakeBucket& take) {
  if (Crc32c(chunk.weights().data(), chunk.weights().size()) != chunk.crc32c()) {
    return absl::DataLossError(absl::StrCat("bucket ", chunk.bucket(), " came damaged (checksum)"));
  }
  std::vector<float> weights(chunk.weights().size() / sizeof(float));
  if (!weights.empty()) std::memcpy(weights.data(), chunk.weights().data(), weights.size() * sizeof(float));
  std::vector<SharedBytes> updates;
  for (const std::string& update : chunk.updates()) updates.push_back(SharedBytes::Own(update));
  return take({chunk.bucket(), chunk.version(), weights, std::move(updates)});
}

// Logs the progress of a long read periodically.
class ReadingLog {
 public:
  explicit ReadingLog(absl::string_view address) : address_(address), begin_(MonotonicNow()), told_(begin_) {}

  void Note(const v1::SnapshotChunk& chunk) {
    bytes_ += chunk.weights().size();
    for (const std::string& update : chunk.updates()) bytes_ += update.size();
    const absl::Duration now = MonotonicNow();
    if (now - told_ < kTellEvery) return;
    told_ = now;
    const double seconds = absl::ToDoubleSeconds(now - begin_);
    LogInfo(absl::StrFormat("event=catching_up server=%s bytes=%d bytes_per_second=%.0f", address_, bytes_,
                            static_cast<double>(bytes_) / seconds));
  }

 private:
  static constexpr absl::Duration kTellEvery = absl::Seconds(10);
  const absl::string_view address_;
  const absl::Duration begin_;
  absl::Duration told_;
  uint64_t bytes_ = 0;
};

}  // namespace

absl::Status ReadServersSnapshot(const GrpcClusterOptions& options, ServerConnection* server, uint32_t first_bucket,
                                 absl::Span<const uint64_t> held, const Cluster::TakeBucket& take) {
  RetryOptions retry_options;
  retry_options.patience = options.server_timeout;
  retry_options.try_timeout = absl::InfiniteDuration();  // a slow network may take any time; keepalive detects a
                                                         // server that is gone
  Retry retry(retry_options, options.rank);
  SystemClock clock;
  v1::SnapshotRequest request;
  if (options.catches_up) *request.mutable_worker() = IdOf(options);
  request.set_first_bucket(first_bucket);
  request.mutable_held_versions()->Add(held.begin(), held.end());
  ReadingLog log(server->address());
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
      log.Note(chunk);
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
