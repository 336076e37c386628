// Load on one real cddp-server: simulated workers push sparse updates as fast as rounds complete, or at the pace of a
// training. Run by the script server_engine, which starts the server in a process of its own.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/codec/update_codec.h"
#include "common/compress/bucket_compressor.h"
#include "common/config/command_line.h"
#include "common/config/process.h"
#include "common/transport/channel.h"
#include "common/transport/layout_message.h"
#include "common/transport/protobuf_field.h"
#include "common/transport/protocol.h"
#include "common/transport/slices.h"
#include "worker/exchange/push_batch.h"

ABSL_FLAG(std::string, server, "127.0.0.1:50051", "the only server of the cluster");
ABSL_FLAG(uint32_t, workers, 16, "simulated workers, as many as the server was started with");
ABSL_FLAG(uint64_t, parameters, 25000000, "size of the model");
ABSL_FLAG(uint64_t, bucket_elements, 0, "length of a bucket; 0: as a worker would choose it");
ABSL_FLAG(double, ratio, 0.01, "pushed fraction");
ABSL_FLAG(cddp::ValueEncoding, value_encoding, cddp::ValueEncoding::kFp16, "encoding of the values pushed");
ABSL_FLAG(
    double, compute_ms, 0,
    "what a worker computes between the answers to one step and its pushes of the next; 0: every bucket goes on as "
    "soon as it can");
ABSL_FLAG(double, seconds, 5, "how long to measure, after as much warm-up as one round of all buckets");

namespace {

// A random update of a bucket.
std::string MakeUpdate(uint32_t length, uint32_t seed) {
  const uint32_t count = cddp::SelectedCount(length, absl::GetFlag(FLAGS_ratio));
  std::mt19937 random(seed);
  std::vector<uint32_t> indices;
  for (uint32_t i = 0; i < length && indices.size() < count; ++i) {
    if (random() % (length - i) < count - indices.size()) indices.push_back(i);
  }
  std::normal_distribution<float> normal(0, 1e-3f);
  std::vector<float> values(indices.size());
  for (float& value : values) value = normal(random);
  std::string bytes;
  cddp::EncodeSparse(indices, absl::MakeSpan(values), length, cddp::IndexEncoding::kGap8,
                     absl::GetFlag(FLAGS_value_encoding), &bytes);
  return bytes;
}

// Updates of one length, of which each step takes another.
using Updates = std::vector<grpc::Slice>;

// One worker's endless sequence of steps on a few buckets, all pushed in one call. The bytes of the updates are never
// copied, and those of the answers never read: what is measured is the server.
class Stream {
 public:
  struct Bucket {
    uint32_t bucket;
    const Updates* updates;
  };
  // Buckets in descending order. `pushes` counts those answered, *unanswered the calls of the worker's step; null: the
  // stream goes on by itself.
  Stream(grpc::GenericStub* stub, uint32_t rank, std::vector<Bucket> buckets, std::atomic<uint64_t>* pushes,
         std::atomic<uint32_t>* unanswered)
      : stub_(*stub), buckets_(std::move(buckets)), pushes_(*pushes), unanswered_(unanswered), rank_(rank) {
    cddp::v1::ExchangeRequest request;
    request.mutable_worker()->set_rank(rank);
    request.mutable_worker()->set_incarnation(1);
    request.set_view(1);
    head_ = request.SerializeAsString();
  }

  // Makes the next step: 0 with zero weights.
  void Step() {
    using cddp::v1::BucketPush;
    context_ = std::make_unique<grpc::ClientContext>();
    std::vector<grpc::Slice> slices = {grpc::Slice(head_)};
    for (const auto& [bucket, updates] : buckets_) {
      const grpc::Slice update = step_ == 0 ? grpc::Slice() : (*updates)[(rank_ + step_) % updates->size()];
      BucketPush push;
      push.set_bucket(bucket);
      push.set_step(step_);
      push.set_base_version(step_);
      const std::string fields =
          push.SerializeAsString() + cddp::FieldHead(BucketPush::kUpdateFieldNumber, update.size());
      slices.emplace_back(
          cddp::FieldHead(cddp::v1::ExchangeRequest::kPushesFieldNumber, fields.size() + update.size()) + fields);
      slices.push_back(update);
    }
    request_ = grpc::ByteBuffer(slices.data(), slices.size());
    response_.Clear();
    stub_.UnaryCall(context_.get(), "/cddp.v1.ParameterServer/Exchange", {}, &request_, &response_,
                    [this](const grpc::Status& status) {
                      if (!status.ok()) {
                        std::fprintf(stderr, "exchange: %s\n", status.error_message().c_str());
                        std::exit(1);
                      }
                      pushes_.fetch_add(buckets_.size(), std::memory_order_relaxed);
                      ++step_;
                      if (unanswered_ == nullptr) {
                        Step();
                      } else if (unanswered_->fetch_sub(1) == 1) {
                        unanswered_->notify_one();
                      }
                    });
  }

 private:
  grpc::GenericStub& stub_;
  const std::vector<Bucket> buckets_;
  std::atomic<uint64_t>& pushes_;
  std::atomic<uint32_t>* const unanswered_;
  const uint32_t rank_;
  std::string head_;  // of every request
  uint64_t step_ = 0;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::unique_ptr<grpc::ClientContext> context_;
};

// A worker's steps, without end. Its streams are every `workers`th from `rank` on.
void Train(absl::Span<const std::unique_ptr<Stream>> streams, uint32_t rank, uint32_t workers,
           std::atomic<uint32_t>* unanswered) {
  while (true) {
    unanswered->store(static_cast<uint32_t>(streams.size() / workers));
    for (size_t i = rank; i < streams.size(); i += workers) streams[i]->Step();
    while (const uint32_t left = unanswered->load()) unanswered->wait(left);
    absl::SleepFor(absl::Milliseconds(absl::GetFlag(FLAGS_compute_ms)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  cddp::ParseCommandLineOrExit(argc, argv, "server_engine_load: load on one cddp-server", {{"server_engine_load.cc"}});
  cddp::TuneProcess();
  const uint32_t workers = absl::GetFlag(FLAGS_workers);
  const auto layout = cddp::ParameterLayout::Create({{"w", {static_cast<int64_t>(absl::GetFlag(FLAGS_parameters))}}},
                                                    absl::GetFlag(FLAGS_bucket_elements));
  if (!layout.ok()) return cddp::ReportError(layout.status());

  // One connection saturates one thread of gRPC; a few spread the work.
  const uint32_t connections = std::min(workers, 4u);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (uint32_t i = 0; i < connections; ++i) {
    channels.push_back(cddp::CreateChannel(absl::GetFlag(FLAGS_server)));
    stubs.push_back(std::make_unique<grpc::GenericStub>(channels.back()));
  }
  const auto joining = cddp::v1::ParameterServer::NewStub(channels.front());
  for (uint32_t rank = 0; rank < workers; ++rank) {
    cddp::v1::JoinRequest join;
    join.set_protocol_version(cddp::kProtocolVersion);
    join.mutable_worker()->set_rank(rank);
    join.mutable_worker()->set_incarnation(1);
    join.set_worker_count(workers);
    *join.mutable_layout() = cddp::ToMessage(*layout);
    cddp::v1::JoinResponse joined;
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    if (const grpc::Status status = joining->Join(&context, join, &joined); !status.ok()) {
      std::fprintf(stderr, "join: %s\n", status.error_message().c_str());
      return 1;
    }
  }

  std::atomic<uint64_t> pushes{0};
  const uint32_t buckets = layout->bucket_count();
  std::vector<std::unique_ptr<Stream>> streams;
  // A handful of different updates a bucket length: the positions differ between workers and steps, as gradients' do.
  constexpr uint32_t kUpdates = 8;
  Updates updates, last_updates;
  for (uint32_t i = 0; i < kUpdates; ++i) {
    updates.emplace_back(MakeUpdate(layout->bucket_length(0), i));
    last_updates.emplace_back(MakeUpdate(layout->bucket_length(buckets - 1), i));
  }
  // As a worker sends them on a fast network when its gradients are all ready.
  std::vector<std::vector<Stream::Bucket>> calls;
  cddp::PushBatch batch;
  batch.set_full_bytes(cddp::kMostCallBytes);
  for (uint32_t bucket = buckets; bucket-- > 0;) {
    const Updates& choice = bucket + 1 == buckets ? last_updates : updates;
    cddp::Push push;
    push.bucket = bucket;
    push.update = cddp::FromSlice(choice[0]);
    const uint64_t length = layout->bucket_length(bucket);
    if (!batch.Takes(0, push, length)) batch.Take();
    if (batch.empty()) calls.emplace_back();
    batch.Add(0, push, length);
    calls.back().push_back({bucket, &choice});
  }
  const bool paced = absl::GetFlag(FLAGS_compute_ms) > 0;
  std::vector<std::atomic<uint32_t>> unanswered(workers);
  for (const auto& call : calls) {
    for (uint32_t rank = 0; rank < workers; ++rank) {
      streams.push_back(std::make_unique<Stream>(stubs[rank % connections].get(), rank, call, &pushes,
                                                 paced ? &unanswered[rank] : nullptr));
    }
  }
  for (uint32_t rank = 0; paced && rank < workers; ++rank) {
    std::thread(Train, absl::MakeConstSpan(streams), rank, workers, &unanswered[rank]).detach();
  }
  for (const auto& stream : streams) {
    if (!paced) stream->Step();
  }
  const uint64_t warm_up = uint64_t{2} * workers * buckets;
  while (pushes.load() < warm_up) absl::SleepFor(absl::Milliseconds(1));

  const uint64_t before = pushes.load();
  const absl::Time begin = absl::Now();
  absl::SleepFor(absl::Seconds(absl::GetFlag(FLAGS_seconds)));
  const double per_second = static_cast<double>(pushes.load() - before) / absl::ToDoubleSeconds(absl::Now() - begin);

  // Mean over the buckets, of which the last is shorter.
  const double pairs = static_cast<double>(cddp::SelectedCount(layout->bucket_length(0), absl::GetFlag(FLAGS_ratio))) *
                       static_cast<double>(layout->total_elements()) /
                       (static_cast<double>(layout->bucket_elements()) * buckets);
  std::printf("workers=%u parameters=%lu pushes_per_second=%.0f pairs_per_second=%.4g\n", workers,
              static_cast<unsigned long>(layout->total_elements()), per_second, per_second * pairs);
  std::fflush(stdout);
  std::_Exit(0);  // the streams have no end
}
