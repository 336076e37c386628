// The size of one Exchange.

#ifndef COMMON_TRANSPORT_CALL_SIZE_H_
#define COMMON_TRANSPORT_CALL_SIZE_H_

#include <algorithm>
#include <cstdint>

namespace cddp {

// Bounds of the bytes of updates that share a call.
inline constexpr uint64_t kLeastCallBytes = 8 << 10;
inline constexpr uint64_t kMostCallBytes = 128 << 10;

// Bytes beyond which a worker begins another call. `bytes` and `seconds`: those that its last step moved, both ways,
// between the first push and the last answer. A call costs about 0.1 ms of processors at both ends together, so larger
// calls save time on a fast network (tests/bench/server_engine). On a slow one they lose time, since a server neither
// sums nor answers before it has the whole call, and pushes, sums and answers overlap less (tests/bench/netlab). So a
// call should take half a millisecond of the network.
inline uint64_t FullCallBytes(double bytes, double seconds) {
  constexpr double kCallSeconds = 0.5e-3;
  if (!(seconds > 0)) return kLeastCallBytes;
  return static_cast<uint64_t>(
      std::clamp(bytes / seconds * kCallSeconds, double{kLeastCallBytes}, double{kMostCallBytes}));
}

}  // namespace cddp

#endif  // COMMON_TRANSPORT_CALL_SIZE_H_
