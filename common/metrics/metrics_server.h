// The /metrics port that Prometheus scrapes.

#ifndef COMMON_METRICS_METRICS_SERVER_H_
#define COMMON_METRICS_METRICS_SERVER_H_

#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

struct MHD_Daemon;

namespace cddp {

// Serves `registry` at http://address()/metrics, from a thread of its own, until destroyed. Thread-safe.
class MetricsServer {
 public:
  // `listen`: host:port (common/net/host_port.h), port 0 for any free one; a name with several addresses means the
  // first. InvalidArgument, naming the address and the reason, if it cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& listen,
                                                              std::shared_ptr<prometheus::Registry> registry);
  ~MetricsServer();

  // The bound host:port.
  const std::string& address() const { return address_; }

 private:
  explicit MetricsServer(std::shared_ptr<prometheus::Registry> registry) : registry_(std::move(registry)) {}

  const std::shared_ptr<prometheus::Registry> registry_;
  MHD_Daemon* daemon_ = nullptr;
  std::string address_;
};

}  // namespace cddp

#endif  // COMMON_METRICS_METRICS_SERVER_H_
