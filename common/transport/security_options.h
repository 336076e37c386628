// The files of a process's identity and trusted peers (credentials.h).

#ifndef COMMON_TRANSPORT_SECURITY_OPTIONS_H_
#define COMMON_TRANSPORT_SECURITY_OPTIONS_H_

#include <string>

namespace cddp {

struct SecurityOptions {
  std::string tls_cert_file;  // PEM, with the chain
  std::string tls_key_file;   // PEM, without password
  std::string tls_ca_file;    // PEM; the trusted CAs. A server with it requires clients' certificates
  std::string token_file;     // server: lines `role token`; client: one token

  bool has_tls() const { return !tls_cert_file.empty() || !tls_key_file.empty() || !tls_ca_file.empty(); }
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_SECURITY_OPTIONS_H_
