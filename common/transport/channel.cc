#include "common/transport/channel.h"

#include <utility>
#include <vector>

#include "common/transport/channel_arguments.h"
#include "common/transport/protocol.h"
#include "common/transport/token_interceptor.h"

namespace cddp {

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address, const ClientSecurity* security) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // A parked Exchange may wait long without traffic; pings find a dead peer. The server allows pings this often. They
  // queue behind what the socket holds, which can be some seconds of a slow link.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  for (const ChannelArgument& argument : kTransportArguments) arguments.SetInt(argument.name, argument.value);
  // Callers retry; gRPC's own machinery for it costs every call time.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Two clients of one process (tests, tools) must not share one connection's fate.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (security == nullptr) return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (security->token() != nullptr) interceptors.push_back(MakeTokenInterceptors(security->token()));
  return grpc::experimental::CreateCustomChannelWithInterceptors(address, security->NewCredentials(), arguments,
                                                                 std::move(interceptors));
}

}  // namespace cddp
