// Who takes part: one entry a rank, with the incarnation of the process that holds it; and the view, which is the list
// of those that take part at present, numbered.

#ifndef SERVER_MEMBERSHIP_H_
#define SERVER_MEMBERSHIP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/running_time.h"
#include "common/sync/mutex.h"

namespace cddp {

// Journals hold these numbers. Those that have joined are the view.
enum class MemberState { kJoined, kFinished, kLeft, kLost };
absl::string_view MemberStateName(MemberState state);

// What a process that has joined does. Only this server's memory knows it; those that a journal names contribute.
enum class MemberPart {
  kUndecided,   // nothing yet
  kCatchingUp,  // it reads the weights of a running training: rounds do not wait for it yet
  kContributes,
};

struct Member {
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  MemberState state = MemberState::kJoined;
  uint64_t view = 0;  // number of the view that its last change made
  uint64_t step = 0;  // last step it contributed to
  double loss = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  absl::Duration last_heard;  // in RunningTime
  absl::Duration silent;      // since then
  bool lost = false;          // silent for longer than the lease: kLost, or about to be
  MemberPart part = MemberPart::kUndecided;
  uint64_t read_bytes = 0;      // of weights, while it caught up
  absl::Duration read_since;    // in RunningTime
  absl::Duration reading_time;  // since then, or until it took part
};

// A member's state changed.
struct MemberChange {
  uint64_t view = 0;  // number of the view from then on
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  MemberState state = MemberState::kJoined;
  std::string workers;  // ranks of that view, for people: "0-3,5"; cut off where it would be long
};

// Thread-safe. Ranks are 0 .. worker_count - 1.
class Membership {
 public:
  // Leases neither follow the wall clock nor count the time in which this process stood still. `clock` as RunningTime
  // has it.
  Membership(uint32_t worker_count, absl::Duration lease, std::function<absl::Duration()> clock = MonotonicNow)
      : worker_count_(worker_count), lease_(lease), time_(std::move(clock)) {}

  // Number of the view: one more with each change of it, 0 while nobody has ever joined.
  uint64_t view() const { return view_.load(std::memory_order_acquire); }

  // Changes since the last call, oldest first.
  std::vector<MemberChange> TakeChanges();

  // Keeps a rank that nobody holds for this process, for as long as a lease; Join takes it. Asked again, it is the
  // same. The nonce tells processes of one incarnation apart. Unavailable while all ranks are held, FailedPrecondition
  // once all workers have finished.
  absl::StatusOr<uint32_t> Claim(uint64_t incarnation, uint64_t nonce);

  // Takes the rank, also from an older process; true if this process did not hold it before. InvalidArgument for a rank
  // outside the view, FailedPrecondition if a newer process holds it. One that has left or is lost holds it no more:
  // where a clock was set back, a new process seems older than the one before it.
  absl::StatusOr<bool> Join(uint32_t rank, uint64_t incarnation);

  // Unavailable, marked kRankHeld (common/transport/status_marks.h), while another process holds the rank and was heard
  // of within the lease: for one that joins without knowing the run, and so cannot be told from a stranger.
  absl::Status CheckNotHeld(uint32_t rank, uint64_t incarnation) const;

  // What a journal says of a rank since the view of that number; no change of now, and it counts as heard of now.
  // Nothing happens if the rank changed in a later view: then this is known.
  void Restore(uint32_t rank, uint64_t incarnation, MemberState state, uint64_t view);

  // Checks that this process holds the rank and notes that it lives: if it was lost, it is back. FailedPrecondition
  // otherwise.
  absl::Status Touch(uint32_t rank, uint64_t incarnation);

  // Touch, for a call with contributions: from now on the process contributes. False, if it was catching up: then it
  // does once EndCatchUp has been called.
  absl::StatusOr<bool> TouchContributor(uint32_t rank, uint64_t incarnation);

  // Touch, for a process that reads the weights of a running training. True if it begins to catch up with that.
  absl::StatusOr<bool> BeginCatchUp(uint32_t rank, uint64_t incarnation);
  bool IsCatchingUp(uint32_t rank) const;
  // It has been sent so many bytes of weights.
  void NoteRead(uint32_t rank, uint64_t incarnation, uint64_t bytes);
  // From now on it contributes.
  void EndCatchUp(uint32_t rank);

  // Touch, and what the call told besides.
  absl::Status Heartbeat(uint32_t rank, uint64_t incarnation, uint64_t step, double loss);
  absl::Status Leave(uint32_t rank, uint64_t incarnation, bool finished);

  // It has contributed up to `step`, with so many bytes, and been answered with so many.
  void NoteContribution(uint32_t rank, uint64_t step, uint64_t received_bytes, uint64_t sent_bytes);

  std::vector<Member> members() const;  // by rank

  // Have all ranks of the view left as finished?
  bool AllFinished() const;

  // Takes those out of the view that are silent for longer than the lease, until they are heard of again; returns them.
  // To be called more often than RunningTime::kStandstill.
  std::vector<uint32_t> TakeNewlyLost();

 private:
  struct RankClaim {
    uint64_t incarnation = 0;
    uint64_t nonce = 0;
    absl::Duration since;  // in RunningTime
  };

  bool IsLost(const Member& member, absl::Duration now) const;
  // Does it hold its rank no more? One that has finished does.
  bool IsGone(const Member& member, absl::Duration now) const;
  // May a new process of this incarnation take the rank?
  bool IsFree(uint32_t rank, uint64_t incarnation, absl::Duration now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckHolder(uint32_t rank, uint64_t incarnation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The member has just come into the view or gone out of it; SetState does so.
  void NoteChange(Member* member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetState(Member* member, MemberState state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string JoinedRanks() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const uint32_t worker_count_;
  const absl::Duration lease_;
  mutable Mutex mutex_;
  mutable RunningTime time_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, Member> members_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, RankClaim> claims_ ABSL_GUARDED_BY(mutex_);  // by rank; the last one, also after its Join
  std::atomic<uint64_t> view_{0};                                 // written under mutex_
  std::vector<MemberChange> changes_ ABSL_GUARDED_BY(mutex_);     // not taken yet
};

}  // namespace cddp

#endif  // SERVER_MEMBERSHIP_H_
