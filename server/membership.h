// Who takes part: one entry a rank, with the incarnation of the process that holds it.

#ifndef SERVER_MEMBERSHIP_H_
#define SERVER_MEMBERSHIP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/running_time.h"

namespace cddp {

enum class MemberState { kJoined, kFinished, kLeft };

struct Member {
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  MemberState state = MemberState::kJoined;
  uint64_t step = 0;  // last step it contributed to
  double loss = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  absl::Duration last_heard;  // in RunningTime
  absl::Duration silent;      // since then
  bool lost = false;          // joined, but silent for longer than the lease
  bool lost_told = false;
};

// Thread-safe. The view is fixed: ranks 0 .. worker_count - 1.
class Membership {
 public:
  // Leases neither follow the wall clock nor count the time in which this process stood still. `clock` as RunningTime
  // has it.
  Membership(uint32_t worker_count, absl::Duration lease, std::function<absl::Duration()> clock = MonotonicNow)
      : worker_count_(worker_count), lease_(lease), time_(std::move(clock)) {}

  static constexpr uint64_t kView = 1;

  // Keeps a rank that nobody holds for this process, for as long as a lease; Join takes it. Asked again, it is the
  // same. The nonce tells processes of one incarnation apart. Unavailable while all ranks are held, FailedPrecondition
  // once all workers have finished.
  absl::StatusOr<uint32_t> Claim(uint64_t incarnation, uint64_t nonce);

  // Takes the rank, also from an older process; true if this process did not hold it before. InvalidArgument for a rank
  // outside the view, FailedPrecondition if a newer process holds it. One that has left or is lost holds it no more:
  // where a clock was set back, a new process seems older than the one before it.
  absl::StatusOr<bool> Join(uint32_t rank, uint64_t incarnation);

  // What a journal says of a rank; it counts as heard of now.
  void Restore(uint32_t rank, uint64_t incarnation, MemberState state);

  // Checks that this process holds the rank and notes that it lives. FailedPrecondition otherwise.
  absl::Status Touch(uint32_t rank, uint64_t incarnation);

  // Touch, and what the call told besides.
  absl::Status Heartbeat(uint32_t rank, uint64_t incarnation, uint64_t step, double loss);
  absl::Status Leave(uint32_t rank, uint64_t incarnation, bool finished);

  void NoteContribution(uint32_t rank, uint64_t step, uint64_t bytes);
  void NoteAnswer(uint32_t rank, uint64_t bytes);

  std::vector<Member> members() const;  // by rank

  // Have all ranks of the view left as finished?
  bool AllFinished() const;

  // Ranks that have become lost since the last call, each told once until it is heard of again. To be called more often
  // than RunningTime::kStandstill.
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

  const uint32_t worker_count_;
  const absl::Duration lease_;
  mutable std::mutex mutex_;
  mutable RunningTime time_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, Member> members_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, RankClaim> claims_ ABSL_GUARDED_BY(mutex_);  // by rank; the last one, also after its Join
};

}  // namespace cddp

#endif  // SERVER_MEMBERSHIP_H_
