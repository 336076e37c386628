#include "server/journal/write_schedule.h"

#include <algorithm>

namespace cddp {
namespace {

// Without a sync: while the bytes are in the processor's cache; with one: seldom.
constexpr size_t kFrameBytes = size_t{256} << 10;
constexpr size_t kSyncedFrameBytes = size_t{4} << 20;
constexpr size_t kMostUnwritten = size_t{64} << 20;

}  // namespace

WriteSchedule::WriteSchedule(Durability durability)
    : enough_(durability == Durability::kVersion ? kSyncedFrameBytes : kFrameBytes) {}

void WriteSchedule::NoteAppended(size_t bytes, absl::Duration now) {
  if (bytes_ == 0) since_ = now;
  bytes_ += bytes;
}

void WriteSchedule::NoteFrameBegun(absl::Duration now) {
  frame_begun_ = now;
  bytes_ = 0;
}

bool WriteSchedule::is_behind() const { return bytes_ > kMostUnwritten; }

absl::Duration WriteSchedule::Due(bool rounds_open) const {
  if (end_ || segment_ || bytes_ >= enough_) return -absl::InfiniteDuration();
  if (bytes_ == 0) return absl::InfiniteDuration();
  if (waiting_ == 0) return since_ + kLag;
  return rounds_open ? frame_begun_ + kPace : -absl::InfiniteDuration();
}

absl::Duration WriteSchedule::LookAgain(absl::Duration due, absl::Duration now) const {
  for (const absl::Duration look : {frame_begun_ + kLag, frame_begun_ + kPace}) {
    if (look > now) due = std::min(due, look);
  }
  return due;
}

}  // namespace cddp
