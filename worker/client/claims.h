// Claims resources that only one client of this process may use: the memory of its tensors, and its rank at its
// servers. A second client with either would silently give wrong results.

#ifndef WORKER_CLIENT_CLAIMS_H_
#define WORKER_CLIENT_CLAIMS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/client/tensor_memory.h"

namespace cddp {

// Releases its claims on destruction. Not thread-safe; different objects may be used by different threads.
class Claims {
 public:
  Claims() = default;
  ~Claims();
  Claims(const Claims&) = delete;
  Claims& operator=(const Claims&) = delete;

  // AlreadyExists, naming the tensors, if two of them share memory (tied weights are one tensor), or one shares memory
  // with another client's.
  absl::Status ClaimMemory(const std::vector<ClientTensor>& tensors, const std::vector<uint64_t>& elements);

  // AlreadyExists if a client of this process has that rank at these servers.
  absl::Status ClaimRank(const std::vector<std::string>& servers, uint32_t rank);

 private:
  std::vector<uintptr_t> memory_;  // start addresses
  std::string rank_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_CLAIMS_H_
