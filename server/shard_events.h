// The events of a shard, in the bytes of its files. A server that gets the same events in the same order is in the same
// state, bit for bit: contributions are counted in their original order.
//
// A journal begins with a BeginEvent and an AgreementEvent, at the first Join; then comes what happened. Before the
// first contribution is counted there may be others of them, in the place of those before. A RunEvent comes when the
// run gets its name, which may be before all else. A snapshot or checkpoint is a BeginEvent, a RunEvent if the run has
// a name, an AgreementEvent, a BucketEvent for each bucket, and a MemberEvent for each worker.

#ifndef SERVER_SHARD_EVENTS_H_
#define SERVER_SHARD_EVENTS_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/bytes/shared_bytes.h"
#include "server/bucket_state.h"
#include "server/membership.h"

namespace cddp {

class Journal;
class SnapshotWriter;

// The settings and layout that the state belongs to.
struct BeginEvent {
  std::string options;  // the server's, as text; another server's journal is not ours
  std::string layout;   // v1::Layout, serialized
};
struct CountEvent {  // a contribution was counted
  uint32_t bucket = 0;
  Contribution contribution;  // without the checksum of the replica
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
  absl::string_view state;  // BucketState::Save; must live as long as what it was read from
};
struct AgreementEvent {  // the workers' agreed settings
  uint32_t rank = 0;     // the worker that set them
  std::string settings;  // common/agreement
};
struct RunEvent {  // the state is of this run (common/agreement/run_identity.h)
  std::string name;
};
// The first byte of an event is 1 for a BeginEvent and counts on in this order: no tag of server/journal/segment.h.
using ShardEvent =
    std::variant<BeginEvent, CountEvent, AdmitEvent, RetireEvent, MemberEvent, BucketEvent, AgreementEvent, RunEvent>;

void AppendEvent(const ShardEvent& event, std::string* bytes);

// The same without the event's last field if that may be large, an update or a bucket's state: it is returned, and its
// bytes belong right after.
absl::string_view AppendEventHead(const ShardEvent& event, std::string* bytes);

// Takes the next event off the front of *bytes. Its update refers to them. DataLoss if there is none.
absl::Status TakeEvent(SharedBytes* bytes, ShardEvent* event);

// As Journal::Append and SnapshotWriter::Add.
uint64_t AppendTo(Journal& journal, const ShardEvent& event);
absl::Status AddTo(SnapshotWriter& snapshot, const ShardEvent& event);

}  // namespace cddp

#endif  // SERVER_SHARD_EVENTS_H_
