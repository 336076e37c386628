// Checks that a /metrics port answers: the health check of programs without a gRPC port.

#ifndef COMMON_METRICS_METRICS_PROBE_H_
#define COMMON_METRICS_METRICS_PROBE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace cddp {

// `address`: host:port; 0.0.0.0 and [::] mean this machine. OK if GET /metrics is answered with 200 and with a metric
// whose name begins with `prefix`, so that it is not another program's. Otherwise Unavailable with the reason, or
// InvalidArgument for an invalid address. `timeout` holds for the connection and for the answer.
absl::Status ProbeMetrics(const std::string& address, const std::string& prefix, absl::Duration timeout);

}  // namespace cddp

#endif  // COMMON_METRICS_METRICS_PROBE_H_
