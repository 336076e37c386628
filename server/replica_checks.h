// Checksums of one bucket's published weights at some of its versions, to be compared with those of the workers'
// replicas: a replica that differs (damaged memory, another build) is found within kReplicaCheckPeriod versions.

#ifndef SERVER_REPLICA_CHECKS_H_
#define SERVER_REPLICA_CHECKS_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace cddp {

// Not thread-safe.
class ReplicaChecks {
 public:
  // The published weights of `version` have this crc32c. The last few are kept.
  void Note(uint64_t version, uint32_t crc32c);

  // True if the crc32c of `version` is still known and is another one.
  bool Differs(uint64_t version, uint32_t crc32c) const;

 private:
  struct Known {
    uint64_t version = 0;  // 0: none
    uint32_t crc32c = 0;
  };
  std::array<Known, 4> known_;
  size_t next_ = 0;
};

}  // namespace cddp

#endif  // SERVER_REPLICA_CHECKS_H_
