#include "common/transport/credentials.h"

#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/crypto.h>

#include "absl/strings/str_cat.h"
#include "common/transport/certificate.h"
#include "common/transport/watched_file.h"

namespace cddp {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

constexpr unsigned kRefreshSeconds = 1;

// gRPC's file watcher would only log errors of a file, and let handshakes wait for it.
absl::Status CheckFiles(const SecurityOptions& options) {
  // Must come before OpenSSL's first use. At exit it would free its tables while gRPC's threads may be in a handshake:
  // a process that ends because its server is out of reach would crash.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError("--tls_cert_file and --tls_key_file go together");
  }
  if (!options.tls_cert_file.empty()) {
    absl::StatusOr<std::string> certificate = ReadSmallFile(options.tls_cert_file);
    if (!certificate.ok())
      return absl::NotFoundError(absl::StrCat("--tls_cert_file: ", certificate.status().message()));
    absl::StatusOr<std::string> key = ReadSmallFile(options.tls_key_file);
    if (!key.ok()) return absl::NotFoundError(absl::StrCat("--tls_key_file: ", key.status().message()));
    if (absl::Status status = CheckKeyOfCertificate(*certificate, *key); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--tls_cert_file=", options.tls_cert_file, ", --tls_key_file=",
                                                     options.tls_key_file, ": ", status.message()));
    }
  }
  if (!options.tls_ca_file.empty()) {
    absl::StatusOr<std::string> ca = ReadSmallFile(options.tls_ca_file);
    if (!ca.ok()) return absl::NotFoundError(absl::StrCat("--tls_ca_file: ", ca.status().message()));
    if (absl::Status status = ParseCertificate(*ca).status(); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--tls_ca_file=", options.tls_ca_file, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

std::shared_ptr<FileWatcherCertificateProvider> Watch(const SecurityOptions& options) {
  return std::make_shared<FileWatcherCertificateProvider>(options.tls_key_file, options.tls_cert_file,
                                                          options.tls_ca_file, kRefreshSeconds);
}

absl::Status CheckClientFiles(const SecurityOptions& options) {
  if (absl::Status status = CheckFiles(options); !status.ok()) return status;
  if (!options.tls_ca_file.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("a client with --tls_cert_file needs --tls_ca_file, to check servers");
}

grpc::experimental::TlsChannelCredentialsOptions ClientTls(const SecurityOptions& options) {
  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_certificate_provider(Watch(options));
  tls.watch_root_certs();
  if (!options.tls_cert_file.empty()) tls.watch_identity_key_cert_pairs();
  return tls;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const SecurityOptions& options) {
  if (!options.has_tls()) return grpc::InsecureServerCredentials();
  if (absl::Status status = CheckFiles(options); !status.ok()) return status;
  if (options.tls_cert_file.empty()) {
    return absl::InvalidArgumentError("a server with --tls_ca_file needs --tls_cert_file and --tls_key_file");
  }
  grpc::experimental::TlsServerCredentialsOptions tls(Watch(options));
  tls.watch_identity_key_cert_pairs();
  if (!options.tls_ca_file.empty()) {
    tls.watch_root_certs();
    tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

absl::StatusOr<std::shared_ptr<const ClientSecurity>> ClientSecurity::Create(const SecurityOptions& options) {
  auto security = std::make_shared<ClientSecurity>();
  security->options_ = options;
  if (options.has_tls()) {
    if (absl::Status status = CheckClientFiles(options); !status.ok()) return status;
  }
  if (!options.token_file.empty()) {
    absl::StatusOr<std::unique_ptr<TokenFile>> token = TokenFile::Read(options.token_file);
    if (!token.ok()) return token.status();
    security->token_ = *std::move(token);
  }
  return security;
}

std::shared_ptr<grpc::ChannelCredentials> ClientSecurity::NewCredentials() const {
  if (!options_.has_tls()) return grpc::InsecureChannelCredentials();
  return grpc::experimental::TlsCredentials(ClientTls(options_));
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeProbeCredentials(const SecurityOptions& options) {
  if (!options.has_tls()) return grpc::InsecureChannelCredentials();
  SecurityOptions probe = options;
  if (probe.tls_ca_file.empty()) probe.tls_ca_file = probe.tls_cert_file;  // no CA: trust the server's own certificate
  if (absl::Status status = CheckClientFiles(probe); !status.ok()) return status;
  grpc::experimental::TlsChannelCredentialsOptions tls = ClientTls(probe);
  tls.set_verify_server_certs(false);
  tls.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  tls.set_check_call_host(false);
  return grpc::experimental::TlsCredentials(tls);
}

}  // namespace cddp
