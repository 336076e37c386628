// Any bytes as a worker's checkpoint, also with a checksum that is right: refused, or written again as they were. And
// as the log of what a worker has sent. Input: the file; as a log, a record is its size (1 byte) and its bytes, behind
// a head that is right.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/codec/crc32c.h"
#include "common/codec/little_endian.h"
#include "tests/fuzz/check.h"
#include "worker/checkpoint/checkpoint.h"

namespace {

void Parse(const std::string& bytes) {
  const absl::StatusOr<cddp::WorkerCheckpoint> checkpoint = cddp::ParseCheckpoint(bytes, "it");
  if (!checkpoint.ok()) return;
  std::string again;
  Check(cddp::Append(*checkpoint, [&again](absl::string_view part) {
          again.append(part.data(), part.size());
          return absl::OkStatus();
        }).ok());
  Check(again == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Parse(bytes);
  if (size < sizeof(uint32_t)) return 0;
  const size_t checked = size - sizeof(uint32_t);
  cddp::StoreLe<uint32_t>(cddp::Crc32c(bytes.data(), checked), bytes.data() + checked);
  Parse(bytes);
  return 0;
}
