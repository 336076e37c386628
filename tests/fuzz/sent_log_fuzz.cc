// Any bytes as a worker's log of what it has sent: the next process reads what is whole, and writes on behind it.
// Input: are records made of it (1 byte); then the file, or records, each its size (1 byte) and its bytes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "common/codec/byte_io.h"
#include "common/codec/crc32c.h"
#include "tests/fuzz/check.h"
#include "tests/support/temp_folder.h"
#include "worker/checkpoint/sent_log.h"

namespace {

constexpr char kRun[] = "a-run";

std::unique_ptr<cddp::SentLog> Open(const std::string& folder) {
  auto log = cddp::SentLog::Open(folder, 0, kRun, 0);
  Check(log.ok());
  return *std::move(log);
}

// Behind `head`, with checksums that are right.
std::string RecordsOf(std::string head, absl::string_view records) {
  cddp::ByteWriter to(&head);
  while (!records.empty()) {
    const size_t size = std::min<size_t>(static_cast<uint8_t>(records[0]), records.size() - 1);
    const absl::string_view record = records.substr(1, size);
    to.Put<uint32_t>(cddp::Crc32c(record.data(), record.size()));
    to.PutBytes(record);
    records.remove_prefix(1 + size);
  }
  return head;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cddp::TempFolder folder;
  static const std::string path = folder.File("worker-0.sent-0");
  static const std::string head = [] {
    Open(folder.string());
    return cddp::ReadFile(path);
  }();
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      << (data[0] % 2 == 0 ? std::string(bytes) : RecordsOf(head, bytes));
  Open(folder.string())->Note(7, 3, "an update");
  const auto found = Open(folder.string())->Find(7, 3);
  Check(found.has_value() && found->view() == "an update");
  return 0;
}
