// When a call of gRPC shall be over.

#ifndef COMMON_TRANSPORT_DEADLINE_H_
#define COMMON_TRANSPORT_DEADLINE_H_

#include <grpc/support/time.h>

#include "absl/time/time.h"

namespace cddp {

// For gRPC's set_deadline, alarms and Shutdown: in `timeout` from now, by the monotonic clock, so that setting the wall
// clock moves no deadline.
gpr_timespec DeadlineIn(absl::Duration timeout);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_DEADLINE_H_
