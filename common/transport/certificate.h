// The parts of X.509 certificates that we read, besides TLS's own checks.

#ifndef COMMON_TRANSPORT_CERTIFICATE_H_
#define COMMON_TRANSPORT_CERTIFICATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cddp {

struct CertificateFacts {
  std::string subject;             // one line, for logs
  std::vector<std::string> units;  // OU of the subject
  std::vector<std::string> uris;   // URIs of the subject's alternative names
  absl::Time expires;
};

// The facts of the first certificate in `pem`. InvalidArgument if there is none.
absl::StatusOr<CertificateFacts> ParseCertificate(const std::string& pem);

// InvalidArgument unless `key_pem` is the private key of the first certificate in `certificate_pem`.
absl::Status CheckKeyOfCertificate(const std::string& certificate_pem, const std::string& key_pem);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_CERTIFICATE_H_
