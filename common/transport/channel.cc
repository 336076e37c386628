#include "common/transport/channel.h"

#include <utility>
#include <vector>

#include "common/transport/channel_arguments.h"
#include "common/transport/protocol.h"
#include "common/transport/token_interceptor.h"

namespace cddp {

grpc::ChannelArguments ClientArguments() {
  grpc::ChannelArguments arguments;
  // gRPC obeys http_proxy and similar variables. A cluster's traffic must go to the servers directly: a proxy for the
  // web would refuse it, or carry every gradient.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Despite its name this is the time-out of one attempt to connect, including TLS and HTTP/2's settings: four round
  // trips behind the queue of a full link. It delays no other attempt, since a refused one fails at once.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10000);
  // After a lost connection look the name up again, since it may lead elsewhere now; the default waits for 30 s.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  return arguments;
}

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address, const ClientSecurity* security) {
  grpc::ChannelArguments arguments = ClientArguments();
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // A parked Exchange may wait long without traffic; pings find a dead peer. The server allows pings this often. They
  // queue behind the socket's data, which can be some seconds on a slow link.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  for (const ChannelArgument& argument : kTransportArguments) arguments.SetInt(argument.name, argument.value);
  // Callers retry themselves; gRPC's retries would cost every call time.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Two clients of one process (tests, tools) must not share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (security == nullptr) return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (security->token() != nullptr) interceptors.push_back(MakeTokenInterceptors(security->token()));
  return grpc::experimental::CreateCustomChannelWithInterceptors(address, security->NewCredentials(), arguments,
                                                                 std::move(interceptors));
}

}  // namespace cddp
