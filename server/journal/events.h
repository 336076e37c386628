// What happened to a shard, in the bytes of its files. A server that is given the same events in the same order is in
// the same state, bit for bit: contributions are counted in the order in which they were counted first.
//
// A journal's segment is a SegmentEvent and what happened from then on (the first segment: a BeginEvent and an
// AgreementEvent first). A snapshot or checkpoint is a SegmentEvent, a BeginEvent, an AgreementEvent, a BucketEvent for
// each bucket, a MemberEvent for each worker, and an EndEvent.

#ifndef SERVER_JOURNAL_EVENTS_H_
#define SERVER_JOURNAL_EVENTS_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/bucket_state.h"
#include "server/membership.h"

namespace cddp {

constexpr uint32_t kJournalFormat = 5;

// The first event of every file. Events are numbered from 1 over all segments: their positions.
struct SegmentEvent {
  uint32_t format = kJournalFormat;
  uint64_t segment = 0;
  uint64_t position = 0;  // of the last event before this segment
  uint64_t restored = 0;  // version of the checkpoint that this state goes back to; 0: none
};
// What the state is the state of.
struct BeginEvent {
  std::string options;  // the server's, as text; another server's journal is not ours
  std::string layout;   // v1::Layout, serialized
};
struct CountEvent {  // a contribution was counted
  uint32_t bucket = 0;
  Contribution contribution;  // its update points into the frame
};
struct AdmitEvent {
  uint32_t bucket = 0;
  uint32_t rank = 0;
};
struct RetireEvent {
  uint32_t bucket = 0;
  uint32_t rank = 0;
};
struct MemberEvent {  // a process took a rank, left, was lost, or came back
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  MemberState state = MemberState::kJoined;
  uint64_t view = 0;  // number of the view that this made
};
struct BucketEvent {  // a bucket's state
  uint32_t bucket = 0;
  uint64_t position = 0;    // of the last event that it holds
  absl::string_view state;  // BucketState::Save; points into the frame
};
struct EndEvent {};      // the snapshot is whole
struct AgreementEvent {  // what the workers have agreed on
  uint32_t rank = 0;     // who brought it
  std::string settings;  // common/agreement
};
using JournalEvent = std::variant<SegmentEvent, BeginEvent, CountEvent, AdmitEvent, RetireEvent, MemberEvent,
                                  BucketEvent, EndEvent, AgreementEvent>;

void AppendEvent(const JournalEvent& event, std::string* bytes);

// The same without the event's last field if that may be large, an update or a bucket's state: it is returned, and its
// bytes belong right after.
absl::string_view AppendEventHead(const JournalEvent& event, std::string* bytes);

// Takes the next event off the front of `bytes`, which must outlive it. DataLoss if there is none, FailedPrecondition
// if the file is of another format.
absl::Status TakeEvent(absl::string_view* bytes, JournalEvent* event);

}  // namespace cddp

#endif  // SERVER_JOURNAL_EVENTS_H_
