// A metric of the expiry of the server's certificates: an expired one stops a cluster at its next handshake.

#ifndef SERVER_CERTIFICATE_EXPIRY_H_
#define SERVER_CERTIFICATE_EXPIRY_H_

#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <string>
#include <vector>

#include "common/transport/credentials.h"
#include "common/transport/watched_file.h"

namespace cddp {

// Not thread-safe.
class CertificateExpiry {
 public:
  // Makes cddp_server_certificate_expiry_timestamp_seconds{shard,file} in `registry`, which must outlive it: for the
  // files "certificate" and "ca", 0 for one that is not given.
  CertificateExpiry(const SecurityOptions& options, prometheus::Registry* registry, const std::string& shard);

  // Reads changed files. An unreadable file leaves the metric unchanged, as it does the certificates in use.
  void Look();

 private:
  struct Entry {
    WatchedFile file;
    prometheus::Gauge* expiry;
  };
  std::vector<Entry> entries_;
};

}  // namespace cddp

#endif  // SERVER_CERTIFICATE_EXPIRY_H_
