// Any bytes as a file of a server's state folder: frames, the records of snapshots, events, a bucket's state. Damage is
// an error; what is taken is written again as it was.
// Input: what it is (1 byte), then the file, or what its frames hold.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "server/bucket_state.h"
#include "server/journal/frame.h"
#include "server/journal/segment.h"
#include "server/journal/snapshot.h"
#include "server/shard_events.h"
#include "tests/fuzz/check.h"
#include "tests/unit/journal/faulty_files.h"

namespace {

constexpr char kFolder[] = "state";
constexpr char kName[] = "a_file";

void LoadBucket(absl::string_view state) {
  cddp::BucketOptions options;
  options.worker_count = 2;
  options.optimizer.momentum = 0.5;
  const auto bucket = cddp::BucketState::Create(4, options);
  Check(bucket.ok());
  if (!(*bucket)->Load(state).ok()) return;
  std::string again;
  uint64_t position = 0;
  Check((*bucket)->Save(&again, &position).ok());
  const auto other = cddp::BucketState::Create(4, options);
  Check((*other)->Load(again).ok());
}

void TakeEvents(cddp::SharedBytes bytes) {
  while (!bytes.empty()) {
    const cddp::SharedBytes before = bytes;
    cddp::ShardEvent event;
    if (!cddp::TakeEvent(&bytes, &event).ok()) return;
    std::string again;
    cddp::AppendEvent(event, &again);
    Check(again.size() == before.size() - bytes.size());
    if (const auto* bucket = std::get_if<cddp::BucketEvent>(&event)) LoadBucket(bucket->state);
  }
}

void TakeRecords(const std::string& bytes) {
  absl::string_view head = bytes;
  cddp::SegmentHead segment;
  if (cddp::TakeSegmentHead(&head, &segment).ok()) {
    Check(cddp::ToBytes(segment) == bytes.substr(0, bytes.size() - head.size()));
  }
  TakeEvents(cddp::SharedBytes::Own(bytes));
  LoadBucket(bytes);
}

std::unique_ptr<cddp::StateFile> Open(cddp::FaultyFiles& files, const std::string& bytes) {
  files.set_contents({{kName, bytes}});
  auto file = files.Open(kFolder, kName);
  Check(file.ok());
  return *std::move(file);
}

void TakeFrames(const std::string& bytes) {
  cddp::FaultyFiles files;
  const std::unique_ptr<cddp::StateFile> file = Open(files, bytes);
  cddp::FrameReader reader(file.get());
  while (true) {
    const absl::StatusOr<std::shared_ptr<const std::string>> frame = reader.Next();
    if (!frame.ok() || *frame == nullptr) break;
  }
  Check(reader.whole_bytes() <= bytes.size());
}

void TakeSnapshot(const std::string& bytes) {
  cddp::FaultyFiles files;
  files.set_contents({{kName, bytes}});
  const auto reader = cddp::SnapshotReader::Open(files, kFolder, kName);
  if (!reader.ok()) return;
  cddp::SharedBytes event;
  while (true) {
    const absl::StatusOr<bool> next = (*reader)->Next(&event);
    if (!next.ok() || !*next) break;
    TakeEvents(event);
  }
}

// Whole frames, each with a payload of the input: its size (1 byte), then its bytes.
std::string FramesOf(absl::string_view payloads) {
  cddp::FaultyFiles files;
  const std::unique_ptr<cddp::StateFile> file = Open(files, "");
  uint64_t frames = 0;
  uint64_t written = 0;
  while (!payloads.empty()) {
    const size_t size = std::min<size_t>(static_cast<uint8_t>(payloads[0]), payloads.size() - 1);
    Check(cddp::AppendFrame(*file, frames++, {payloads.substr(1, size)}, &written).ok());
    payloads.remove_prefix(1 + size);
  }
  return files.contents()[kName];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0:
      TakeRecords(bytes);
      break;
    case 1:
      TakeFrames(bytes);
      break;
    case 2:
      TakeSnapshot(bytes);
      break;
    default:
      TakeSnapshot(FramesOf(bytes));
  }
  return 0;
}
