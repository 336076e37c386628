#include "server/certificate_expiry.h"

#include <prometheus/family.h>

#include <utility>

#include "common/transport/certificate.h"

namespace cddp {

CertificateExpiry::CertificateExpiry(const SecurityOptions& options, prometheus::Registry* registry,
                                     const std::string& shard) {
  auto& family = prometheus::BuildGauge()
                     .Name("cddp_server_certificate_expiry_timestamp_seconds")
                     .Help("When the first certificate of --tls_cert_file and --tls_ca_file ends; 0: no such file")
                     .Register(*registry);
  for (const auto& [name, path] :
       {std::pair{"certificate", options.tls_cert_file}, std::pair{"ca", options.tls_ca_file}}) {
    prometheus::Gauge& expiry = family.Add({{"shard", shard}, {"file", name}});
    if (!path.empty()) entries_.push_back({WatchedFile(path), &expiry});
  }
  Look();
}

void CertificateExpiry::Look() {
  for (Entry& entry : entries_) {
    if (!entry.file.Changed()) continue;
    const absl::StatusOr<std::string> pem = ReadSmallFile(entry.file.path());
    if (!pem.ok()) continue;
    const absl::StatusOr<CertificateFacts> facts = ParseCertificate(*pem);
    if (facts.ok()) entry.expiry->Set(absl::ToDoubleSeconds(facts->expires - absl::UnixEpoch()));
  }
}

}  // namespace cddp
