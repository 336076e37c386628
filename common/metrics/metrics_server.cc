#include "common/metrics/metrics_server.h"

#include <prometheus/exposer.h>

#include <exception>

#include "absl/strings/str_cat.h"

namespace cddp {

MetricsServer::MetricsServer(std::unique_ptr<prometheus::Exposer> exposer,
                             std::shared_ptr<prometheus::Registry> registry, std::string address)
    : registry_(std::move(registry)), exposer_(std::move(exposer)), address_(std::move(address)) {}

MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& listen,
                                                                    std::shared_ptr<prometheus::Registry> registry) {
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(listen, /*num_threads=*/1);
    exposer->RegisterCollectable(registry);
    const std::string host = listen.substr(0, listen.rfind(':'));
    std::string address = absl::StrCat(host, ":", exposer->GetListeningPorts().front());
    return std::unique_ptr<MetricsServer>(
        new MetricsServer(std::move(exposer), std::move(registry), std::move(address)));
  } catch (const std::exception& error) {  // the library's only way to say that a port is taken
    return absl::InvalidArgumentError(absl::StrCat("cannot serve metrics on ", listen,
                                                   ": is the port taken? (--metrics_listen; ", error.what(), ")"));
  }
}

}  // namespace cddp
