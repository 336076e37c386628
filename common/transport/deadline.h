// Deadlines of gRPC calls.

#ifndef COMMON_TRANSPORT_DEADLINE_H_
#define COMMON_TRANSPORT_DEADLINE_H_

#include <grpc/support/time.h>

#include "absl/time/time.h"

namespace cddp {

// The time `timeout` from now, for gRPC's set_deadline, alarms and Shutdown. It uses the monotonic clock, so that
// setting the wall clock moves no deadline.
gpr_timespec DeadlineIn(absl::Duration timeout);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_DEADLINE_H_
