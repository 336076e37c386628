// A server that receives every message of server_engine_load and sends it back at once: what gRPC and the kernel cost
// by themselves. Its requests and answers are as large as cddp-server's, over the same transport settings; nothing is
// decoded, summed or kept.

#include <grpcpp/grpcpp.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/config/process.h"
#include "common/transport/channel_arguments.h"
#include "common/transport/protocol.h"

namespace {

class EchoService final
    : public cddp::v1::ParameterServer::WithRawCallbackMethod_Exchange<cddp::v1::ParameterServer::CallbackService> {
 public:
  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context, const cddp::v1::JoinRequest* /*request*/,
                                 cddp::v1::JoinResponse* /*response*/) override {
    return Done(context);
  }
  grpc::ServerUnaryReactor* Exchange(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    *response = *request;  // the slices are shared
    return Done(context);
  }

 private:
  static grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

int main() {
  cddp::TuneProcess();
  EchoService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.SetMaxReceiveMessageSize(cddp::kMaxMessageBytes);
  builder.SetMaxSendMessageSize(cddp::kMaxMessageBytes);
  for (const cddp::ChannelArgument& argument : cddp::kTransportArguments) {
    builder.AddChannelArgument(argument.name, argument.value);
  }
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) return 1;
  std::printf("{\"event\":\"listening\",\"address\":\"127.0.0.1:%d\"}\n", port);
  std::fflush(stdout);
  server->Wait();  // until it is killed
}
