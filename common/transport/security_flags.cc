#include "common/transport/security_flags.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, tls_cert_file, "",
          "PEM certificate of this program, with its chain; read again when it changes");
ABSL_FLAG(std::string, tls_key_file, "", "PEM private key of --tls_cert_file");
ABSL_FLAG(std::string, tls_ca_file, "",
          "PEM certificates of the trusted CAs; a server with this flag requires its clients' certificates");
ABSL_FLAG(
    std::string, token_file, "",
    "a client's file: its token; a server's: lines `worker TOKEN` or `operator TOKEN`; read again when it changes");

namespace cddp {

SecurityOptions SecurityFromFlags() {
  return {absl::GetFlag(FLAGS_tls_cert_file), absl::GetFlag(FLAGS_tls_key_file), absl::GetFlag(FLAGS_tls_ca_file),
          absl::GetFlag(FLAGS_token_file)};
}

}  // namespace cddp
