// The members: one entry per rank, with the incarnation of the process that holds it; and the view, which is the
// numbered list of the present members.

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

// The activity of a process that has joined. Only this server's memory knows it; members from a journal contribute.
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
  absl::Duration silent;      // time since then
  bool lost = false;          // silent for longer than the lease: kLost, or about to be
  MemberPart part = MemberPart::kUndecided;
  uint64_t read_bytes = 0;      // bytes of weights, while it caught up
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
  // Leases do not follow the wall clock, and do not count time in which this process was stopped. `clock`: as for
  // RunningTime.
  Membership(uint32_t worker_count, absl::Duration lease, std::function<absl::Duration()> clock = MonotonicNow)
      : worker_count_(worker_count), lease_(lease), time_(std::move(clock)) {}

  // Number of the view: one more with each change of it, 0 until a worker has joined.
  uint64_t view() const { return view_.load(std::memory_order_acquire); }

  // Changes since the last call, oldest first.
  std::vector<MemberChange> TakeChanges();

  // Reserves a free rank for this process, for the length of a lease; Join takes it. A repeated request gets the same
  // rank. The nonce distinguishes processes of one incarnation. Unavailable while all ranks are held,
  // FailedPrecondition once all workers have finished.
  absl::StatusOr<uint32_t> Claim(uint64_t incarnation, uint64_t nonce);

  // Takes the rank, also from an older process; true if this process did not hold it before. InvalidArgument for a rank
  // outside the view, FailedPrecondition if a newer process holds it. A process that has left or is lost no longer
  // holds it: if a clock was set back, a new process seems older than the previous one.
  absl::StatusOr<bool> Join(uint32_t rank, uint64_t incarnation);

  // Unavailable, marked kRankHeld (common/transport/status_marks.h), while another process holds the rank and was not
  // silent for the lease. For a process that joins without knowing the run, and so could be a stranger.
  absl::Status CheckNotHeld(uint32_t rank, uint64_t incarnation) const;

  // Restores a journal's state of a rank since the view of that number. It is not a new change, and the rank counts as
  // heard now. Does nothing if the rank changed in a later view, which is newer.
  void Restore(uint32_t rank, uint64_t incarnation, MemberState state, uint64_t view);

  // Checks that this process holds the rank and notes a sign of life: if it was lost, it is back. FailedPrecondition
  // otherwise.
  absl::Status Touch(uint32_t rank, uint64_t incarnation);

  // Touch, for a call with contributions: from now on the process contributes. False, if it was catching up: then it
  // does once EndCatchUp has been called.
  absl::StatusOr<bool> TouchContributor(uint32_t rank, uint64_t incarnation);

  // Touch, for a process that reads the weights of a running training. True if it begins to catch up with that.
  absl::StatusOr<bool> BeginCatchUp(uint32_t rank, uint64_t incarnation);
  bool IsCatchingUp(uint32_t rank) const;
  // Notes that it was sent `bytes` of weights.
  void NoteRead(uint32_t rank, uint64_t incarnation, uint64_t bytes);
  // It contributes from now on.
  void EndCatchUp(uint32_t rank);

  // Touch, and notes the call's step and loss.
  absl::Status Heartbeat(uint32_t rank, uint64_t incarnation, uint64_t step, double loss);
  absl::Status Leave(uint32_t rank, uint64_t incarnation, bool finished);

  // Notes a contribution up to `step`, and the bytes received and sent.
  void NoteContribution(uint32_t rank, uint64_t step, uint64_t received_bytes, uint64_t sent_bytes);

  std::vector<Member> members() const;  // by rank

  // Whether all ranks have left as finished.
  bool AllFinished() const;

  // Removes those from the view that are silent for longer than the lease, until they are heard again; returns them.
  // Call it more often than RunningTime::kStandstill.
  std::vector<uint32_t> TakeNewlyLost();

 private:
  struct RankClaim {
    uint64_t incarnation = 0;
    uint64_t nonce = 0;
    absl::Duration since;  // in RunningTime
  };

  bool IsLost(const Member& member, absl::Duration now) const;
  // Whether it no longer holds its rank. A finished one still does.
  bool IsGone(const Member& member, absl::Duration now) const;
  // Whether a new process of this incarnation may take the rank.
  bool IsFree(uint32_t rank, uint64_t incarnation, absl::Duration now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckHolder(uint32_t rank, uint64_t incarnation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Notes that the member has just entered or left the view; SetState calls it.
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
