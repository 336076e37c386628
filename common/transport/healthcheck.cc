#include "common/transport/healthcheck.h"

#include <grpcpp/generic/generic_stub.h>

#include "common/transport/channel.h"
#include "common/transport/deadline.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

// HealthCheckResponse{status: SERVING}. The request for the server as a whole is an empty message; so the two messages
// need no generated code.
constexpr char kServing[] = "\x08\x01";

std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

}  // namespace

absl::Status CheckHealth(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                         absl::Duration timeout) {
  grpc::GenericStub stub(grpc::CreateCustomChannel(address, credentials, ClientArguments()));
  grpc::ClientContext context;
  context.set_deadline(DeadlineIn(timeout));
  const grpc::Slice empty;
  const grpc::ByteBuffer request(&empty, 1);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return FromGrpc(status);
  if (Bytes(response) != kServing) return absl::UnavailableError("it is not serving: it is starting or ending");
  return absl::OkStatus();
}

}  // namespace cddp
