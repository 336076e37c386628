// Payloads of a status with facts that its code does not express; they cross the wire as the details of the gRPC status
// (status.h).

#ifndef COMMON_TRANSPORT_STATUS_MARKS_H_
#define COMMON_TRANSPORT_STATUS_MARKS_H_

namespace cddp {

// The call was for another server (intended_server.h).
inline constexpr char kWrongServer[] = "cddp.v1/wrong_server";
// The worker waits for a rank that another one holds.
inline constexpr char kRankHeld[] = "cddp.v1/rank_held";

}  // namespace cddp

#endif  // COMMON_TRANSPORT_STATUS_MARKS_H_
