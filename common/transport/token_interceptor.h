// Adds a client's token to every call. gRPC's own call credentials do so on TLS channels only, but a cluster in a
// closed network may use tokens alone.

#ifndef COMMON_TRANSPORT_TOKEN_INTERCEPTOR_H_
#define COMMON_TRANSPORT_TOKEN_INTERCEPTOR_H_

#include <grpcpp/support/client_interceptor.h>

#include <memory>

#include "common/transport/tokens.h"

namespace cddp {

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeTokenInterceptors(
    std::shared_ptr<TokenFile> token);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_TOKEN_INTERCEPTOR_H_
