// Our identity and trusted peers: TLS certificates and bearer tokens, from files that may be replaced while we run.
//
// gRPC reads the certificates every second and uses new ones for new connections; open connections continue. Key and
// certificate should be replaced together (a link to a folder, as Kubernetes does); otherwise a read in between fails,
// and the next one succeeds.

#ifndef COMMON_TRANSPORT_CREDENTIALS_H_
#define COMMON_TRANSPORT_CREDENTIALS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/transport/security_options.h"
#include "common/transport/tokens.h"

namespace cddp {

// Credentials of a listening port. InvalidArgument or NotFound names the flag and file that is wrong, also for a key
// that is not the certificate's.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const SecurityOptions& options);

// What a client needs for its channels. Thread-safe; channels made with it may outlive it.
class ClientSecurity {
 public:
  // --tls_ca_file alone checks servers; a certificate with its key also identifies us to them. Errors as above.
  static absl::StatusOr<std::shared_ptr<const ClientSecurity>> Create(const SecurityOptions& options);

  // Makes new credentials for each channel, because gRPC 1.51's certificate watcher may forget a channel that connects
  // while the last other one with the same credentials ends; that channel then fails until the files change.
  std::shared_ptr<grpc::ChannelCredentials> NewCredentials() const;
  bool has_tls() const { return options_.has_tls(); }
  const std::shared_ptr<TokenFile>& token() const { return token_; }  // null: none

 private:
  SecurityOptions options_;
  std::shared_ptr<TokenFile> token_;
};

// For a health check of a server on this machine: presents the server's own certificate, and does not ask for its
// name, which need not be this address's.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeProbeCredentials(const SecurityOptions& options);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_CREDENTIALS_H_
