#include "common/tensorboard/event_file.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/clock/monotonic.h"
#include "common/codec/byte_io.h"
#include "common/codec/crc32c.h"
#include "common/log/log.h"

namespace cddp {
namespace {

constexpr absl::Duration kFlushEvery = absl::Seconds(1);

// Kinds of a protobuf field's value.
enum Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void PutVarint(uint64_t value, std::string* to) {
  for (; value >= 0x80; value >>= 7) to->push_back(static_cast<char>(value | 0x80));
  to->push_back(static_cast<char>(value));
}

void PutTag(int field, Wire wire, std::string* to) { PutVarint(static_cast<uint64_t>(field) << 3 | wire, to); }

void PutBytes(int field, absl::string_view bytes, std::string* to) {
  PutTag(field, kBytes, to);
  PutVarint(bytes.size(), to);
  absl::StrAppend(to, bytes);
}

std::string EventAt(absl::Time time) {
  std::string event;
  PutTag(1, kFixed64, &event);  // wall_time
  ByteWriter(&event).Put(absl::ToDoubleSeconds(time - absl::UnixEpoch()));
  return event;
}

// TFRecord masks its checksums, since the crc of bytes that contain crcs is weak.
uint32_t MaskedCrc(absl::string_view bytes) { return std::rotr(Crc32c(bytes.data(), bytes.size()), 15) + 0xa282ead8; }

std::string HostName() {
  std::array<char, 256> name = {};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

std::string EventRecord(absl::string_view event) {
  std::string record;
  ByteWriter to(&record);
  to.Put<uint64_t>(event.size());
  to.Put(MaskedCrc(record));
  absl::StrAppend(&record, event);
  to.Put(MaskedCrc(event));
  return record;
}

std::string ScalarEvent(uint64_t step, absl::Time time, absl::Span<const Scalar> scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars) {
    std::string value;
    PutBytes(1, scalar.tag, &value);
    PutTag(2, kFixed32, &value);  // simple_value
    ByteWriter(&value).Put(static_cast<float>(scalar.value));
    PutBytes(1, value, &summary);
  }
  std::string event = EventAt(time);
  PutTag(2, kVarint, &event);  // step
  PutVarint(step, &event);
  PutBytes(5, summary, &event);
  return event;
}

std::string VersionEvent(absl::Time time) {
  std::string event = EventAt(time);
  PutBytes(3, "brain.Event:2", &event);  // file_version
  return event;
}

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(const std::string& folder) {
  static std::atomic<int> files = 0;
  const absl::Time now = absl::Now();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  // TensorBoard reads the files of a folder in the order of their names, and expects this one.
  std::string path = absl::StrCat(folder, "/", absl::StrFormat("events.out.tfevents.%010d.", absl::ToUnixSeconds(now)),
                                  HostName(), ".", getpid(), ".", files++);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  const std::string first = EventRecord(VersionEvent(now));
  if (!error && file) file << first << std::flush;
  if (error || !file) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write to the folder '", folder, "'", error ? ": " : "", error ? error.message() : ""));
  }
  return std::unique_ptr<EventFile>(new EventFile(std::move(path), std::move(file)));
}

EventFile::~EventFile() {
  if (file_.is_open()) Append("");
}

void EventFile::Add(uint64_t step, absl::Span<const Scalar> scalars) {
  if (file_.is_open()) Append(EventRecord(ScalarEvent(step, absl::Now(), scalars)));
}

void EventFile::Append(absl::string_view event) {
  file_ << event;
  if (event.empty() || MonotonicNow() - flushed_ >= kFlushEvery) {
    file_.flush();
    flushed_ = MonotonicNow();
  }
  if (file_) return;
  LogWarning(absl::StrCat("event=tensorboard_not_written file=\"", path_, "\" consequence=\"it ends here\""));
  file_.close();
}

}  // namespace cddp
