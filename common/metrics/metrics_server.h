// The /metrics port that Prometheus scrapes.

#ifndef COMMON_METRICS_METRICS_SERVER_H_
#define COMMON_METRICS_METRICS_SERVER_H_

#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prometheus {
class Exposer;
}

namespace cddp {

// Serves `registry` at http://address()/metrics until destroyed. Thread-safe.
class MetricsServer {
 public:
  // `listen`: host:port, port 0 for any free one. InvalidArgument, naming the address, if it cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& listen,
                                                              std::shared_ptr<prometheus::Registry> registry);
  ~MetricsServer();

  // The bound host:port.
  const std::string& address() const { return address_; }

 private:
  MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, std::shared_ptr<prometheus::Registry> registry,
                std::string address);

  std::shared_ptr<prometheus::Registry> registry_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::string address_;
};

}  // namespace cddp

#endif  // COMMON_METRICS_METRICS_SERVER_H_
