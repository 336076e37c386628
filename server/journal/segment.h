// The journal's own records. To the journal an event is bytes, whose first byte the events' owner chooses. Two values
// of that byte belong to the journal: those for the head of a file, and for the end of a snapshot.
//
// A journal's segment is a SegmentHead and the events from then on. A snapshot or checkpoint is a SegmentHead, the
// events that make up a state, and an end record. The journal does not know the length of an event; its owner does.

#ifndef SERVER_JOURNAL_SEGMENT_H_
#define SERVER_JOURNAL_SEGMENT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp {

// The format of the files, including events. Raise it when any byte of them changes its meaning.
constexpr uint32_t kJournalFormat = 7;

// First bytes of the journal's records.
constexpr uint8_t kSegmentHeadTag = 0;
constexpr uint8_t kSnapshotEndTag = 255;

// The first record of every file. Events are numbered from 1 over all segments: their positions.
struct SegmentHead {
  uint32_t format = kJournalFormat;
  uint64_t segment = 0;
  uint64_t position = 0;  // of the last event before this segment
  uint64_t restored = 0;  // version of the checkpoint that this state goes back to; 0: none
};

std::string ToBytes(const SegmentHead& head);

// Takes the head off the front of `bytes`. DataLoss if there is none, FailedPrecondition if the file is of another
// format.
absl::Status TakeSegmentHead(absl::string_view* bytes, SegmentHead* head);

}  // namespace cddp

#endif  // SERVER_JOURNAL_SEGMENT_H_
