// What happened to a shard, in the bytes of its journal. A server that is given the same events in the same order is
// in the same state, bit for bit: contributions are counted in the order in which they were counted first.

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

constexpr uint32_t kJournalFormat = 1;

// The first event of a journal: what it is the journal of.
struct BeginEvent {
  uint32_t format = kJournalFormat;
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
struct MemberEvent {  // a process took a rank, or left
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  MemberState state = MemberState::kJoined;
};
using JournalEvent = std::variant<BeginEvent, CountEvent, AdmitEvent, RetireEvent, MemberEvent>;

void AppendEvent(const JournalEvent& event, std::string* bytes);

// Takes the next event off the front of `bytes`, which must outlive it. DataLoss if there is none.
absl::Status TakeEvent(absl::string_view* bytes, JournalEvent* event);

}  // namespace cddp

#endif  // SERVER_JOURNAL_EVENTS_H_
