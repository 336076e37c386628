#include "common/transport/token_interceptor.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;

class TokenInterceptor final : public Interceptor {
 public:
  explicit TokenInterceptor(TokenFile& token) : token_(token) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace(kTokenKey, absl::StrCat(kTokenPrefix, token_.token()));
    }
    methods->Proceed();
  }

 private:
  TokenFile& token_;
};

class Factory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit Factory(std::shared_ptr<TokenFile> token) : token_(std::move(token)) {}
  // gRPC keeps the factory as long as the channel, so longer than the interceptor.
  Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(*token_);
  }

 private:
  const std::shared_ptr<TokenFile> token_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeTokenInterceptors(
    std::shared_ptr<TokenFile> token) {
  return std::make_unique<Factory>(std::move(token));
}

}  // namespace cddp
