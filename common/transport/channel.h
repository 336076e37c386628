// Client channels to servers.

#ifndef COMMON_TRANSPORT_CHANNEL_H_
#define COMMON_TRANSPORT_CHANNEL_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "common/transport/credentials.h"

namespace cddp {

// The settings of all our clients: no proxy, time to connect, quick reconnection.
grpc::ChannelArguments ClientArguments();

// A long-lived channel to host:port (or any gRPC target) with our message limits, keepalive and quick reconnection. It
// connects on first use and is safe to use from any thread.
// `security` null: plaintext, no token.
std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address, const ClientSecurity* security = nullptr);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_CHANNEL_H_
