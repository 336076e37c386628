// A server starts on a state folder whose files are whole, but whose events are anything: it says why not, or goes on.
// Input: which file they are in (1 byte), then the events.

#include <spdlog/spdlog.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "server/journal/frame.h"
#include "server/journal/snapshot.h"
#include "server/journal/state_folder.h"
#include "server/shard.h"
#include "server/shard_recovery.h"
#include "tests/fuzz/check.h"
#include "tests/unit/journal/faulty_files.h"

namespace {

constexpr char kFolder[] = "state";
constexpr uint32_t kWorkers = 2;

cddp::ParameterLayout Layout() { return *cddp::ParameterLayout::Create({{"a", {10}}, {"b", {5}}}, 8); }

cddp::ShardOptions Options(cddp::FaultyFiles* files) {
  cddp::ShardOptions options;
  options.worker_count = kWorkers;
  options.optimizer.momentum = 0.5;
  options.state_dir = kFolder;
  options.files = files;
  return options;
}

cddp::ServerMetrics& Metrics() {
  static cddp::ServerMetrics& metrics = *new cddp::ServerMetrics(0, kWorkers);
  return metrics;
}

// Of a server whose workers have joined.
std::map<std::string, std::string> BegunFiles() {
  cddp::FaultyFiles files;
  cddp::Shard shard(Options(&files), &Metrics());
  Check(shard.Recover().ok());
  for (uint32_t rank = 0; rank < kWorkers; ++rank) Check(shard.Join(rank, 1, kWorkers, Layout()).ok());
  shard.Close(absl::UnavailableError("it is enough"));
  return files.contents();
}

// Behind what the journal holds, as its last frame.
void AppendToJournal(absl::string_view events, cddp::FaultyFiles* files) {
  const auto file = files->Open(kFolder, cddp::SegmentName(0));
  Check(file.ok());
  cddp::FrameReader reader(file->get());
  while (true) {
    const auto frame = reader.Next();
    Check(frame.ok());
    if (*frame == nullptr) break;
  }
  uint64_t written = 0;
  Check(cddp::AppendFrame(**file, reader.frames(), {events}, &written).ok());
}

// In a snapshot of the state before the journal, behind what says whose state it is.
void WriteToSnapshot(const std::string& events, cddp::FaultyFiles* files) {
  const auto writer = cddp::SnapshotWriter::Create(files, kFolder, cddp::SnapshotName(0), {});
  Check(writer.ok());
  const cddp::BeginEvent begin = {cddp::DescribeForJournal(Options(files)), cddp::SerializeLayout(Layout())};
  Check(cddp::AddTo(**writer, begin).ok());
  cddp::SharedBytes left = cddp::SharedBytes::Own(events);
  while (!left.empty()) {
    const cddp::SharedBytes before = left;
    cddp::ShardEvent event;
    if (!cddp::TakeEvent(&left, &event).ok()) return;
    Check((*writer)->Add(before.view().substr(0, before.size() - left.size()), "").ok());
  }
  Check((*writer)->Commit().ok());
}

// Whatever it was told of, a server that has started answers.
void Use(cddp::Shard& shard) {
  const cddp::ShardStatus status = shard.status();
  Check(status.min_version <= status.max_version);
  for (uint32_t rank = 0; rank < kWorkers; ++rank) {
    const auto joined = shard.Join(rank, 1, kWorkers, Layout());
    if (!joined.ok()) continue;
    for (uint32_t bucket = 0; bucket < Layout().bucket_count(); ++bucket) {
      shard.Exchange(1, shard.view(), bucket, {rank, joined->next_step, joined->version, cddp::SharedBytes()},
                     [](const absl::StatusOr<cddp::ExchangeAnswer>&) {});
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_level(spdlog::level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::map<std::string, std::string>& begun = *new std::map<std::string, std::string>(BegunFiles());
  if (size == 0) return 0;
  const std::string events(reinterpret_cast<const char*>(data + 1), size - 1);
  cddp::FaultyFiles files;
  files.set_contents(begun);
  if (data[0] % 2 == 0) {
    AppendToJournal(events, &files);
  } else {
    WriteToSnapshot(events, &files);
  }
  cddp::Shard shard(Options(&files), &Metrics());
  if (shard.Recover().ok()) Use(shard);
  shard.Close(absl::UnavailableError("it is enough"));
  return 0;
}
