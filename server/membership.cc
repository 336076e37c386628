#include "server/membership.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"

namespace cddp {

bool Membership::IsFree(uint32_t rank, uint64_t incarnation, absl::Duration now) const {
  const auto found = members_.find(rank);
  if (found == members_.end()) return true;
  const Member& member = found->second;
  return member.incarnation != incarnation && IsGone(member, now);
}

absl::StatusOr<uint32_t> Membership::Claim(uint64_t incarnation, uint64_t nonce) {
  std::lock_guard lock(mutex_);
  const absl::Duration now = time_.Now();
  uint32_t finished = 0;
  std::optional<uint32_t> unclaimed;
  std::optional<uint32_t> lapsed;  // claimed, and not joined within a lease: perhaps a slow start, so taken last
  for (uint32_t rank = 0; rank < worker_count_; ++rank) {
    const auto member = members_.find(rank);
    finished += member != members_.end() && member->second.state == MemberState::kFinished;
    const auto claim = claims_.find(rank);
    if (claim != claims_.end() && claim->second.incarnation == incarnation && claim->second.nonce == nonce) {
      claim->second.since = now;
      return rank;
    }
    if (!IsFree(rank, incarnation, now)) continue;
    const bool joined =
        member != members_.end() && claim != claims_.end() && member->second.incarnation >= claim->second.incarnation;
    if (claim == claims_.end() || joined) {
      if (!unclaimed.has_value()) unclaimed = rank;
    } else if (now - claim->second.since > lease_ && !lapsed.has_value()) {
      lapsed = rank;
    }
  }
  if (finished == worker_count_) {
    return absl::FailedPreconditionError(absl::StrCat("all ", worker_count_,
                                                      " workers have finished: to train again, start the servers anew ",
                                                      "(with an empty --state_dir)"));
  }
  const std::optional<uint32_t> rank = unclaimed.has_value() ? unclaimed : lapsed;
  if (!rank.has_value()) {
    return absl::UnavailableError(absl::StrCat("all ", worker_count_, " ranks are taken (the servers have --workers=",
                                               worker_count_, "); a lost worker's is free after its lease"));
  }
  claims_[*rank] = {incarnation, nonce, now};
  return *rank;
}

absl::StatusOr<bool> Membership::Join(uint32_t rank, uint64_t incarnation) {
  if (rank >= worker_count_) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", rank, " is outside the cluster's ", worker_count_, " workers (ranks count from 0)"));
  }
  std::lock_guard lock(mutex_);
  const absl::Duration now = time_.Now();
  Member& member = members_[rank];
  if (member.incarnation > incarnation && !IsGone(member, now)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a newer process holds rank ", rank, " (incarnation ", member.incarnation, " > ", incarnation,
        "): are two workers started with one --rank? If a clock was set back, start this one again after the lease"));
  }
  const bool is_new = member.incarnation != incarnation;
  if (is_new) member = Member{};
  member.rank = rank;
  member.incarnation = incarnation;
  member.last_heard = now;
  return is_new;
}

void Membership::Restore(uint32_t rank, uint64_t incarnation, MemberState state) {
  std::lock_guard lock(mutex_);
  Member& member = members_[rank];
  member = Member{};
  member.rank = rank;
  member.incarnation = incarnation;
  member.state = state;
  member.last_heard = time_.Now();
}

absl::Status Membership::CheckHolder(uint32_t rank, uint64_t incarnation) {
  const auto member = members_.find(rank);
  if (member == members_.end()) {
    return absl::FailedPreconditionError(absl::StrCat("rank ", rank, " has not joined this server"));
  }
  if (member->second.incarnation != incarnation) {
    return absl::FailedPreconditionError(absl::StrCat("another process holds rank ", rank, " (incarnation ",
                                                      member->second.incarnation, ", not ", incarnation, ")"));
  }
  member->second.last_heard = time_.Now();
  member->second.lost_told = false;
  return absl::OkStatus();
}

absl::Status Membership::Touch(uint32_t rank, uint64_t incarnation) {
  std::lock_guard lock(mutex_);
  return CheckHolder(rank, incarnation);
}

absl::Status Membership::Heartbeat(uint32_t rank, uint64_t incarnation, uint64_t step, double loss) {
  std::lock_guard lock(mutex_);
  absl::Status status = CheckHolder(rank, incarnation);
  if (!status.ok()) return status;
  Member& member = members_[rank];
  member.step = std::max(member.step, step);
  member.loss = loss;
  return absl::OkStatus();
}

absl::Status Membership::Leave(uint32_t rank, uint64_t incarnation, bool finished) {
  std::lock_guard lock(mutex_);
  absl::Status status = CheckHolder(rank, incarnation);
  if (status.ok()) members_[rank].state = finished ? MemberState::kFinished : MemberState::kLeft;
  return status;
}

void Membership::NoteContribution(uint32_t rank, uint64_t step, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const auto member = members_.find(rank);
  if (member == members_.end()) return;
  member->second.step = std::max(member->second.step, step);
  member->second.received_bytes += bytes;
}

void Membership::NoteAnswer(uint32_t rank, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const auto member = members_.find(rank);
  if (member != members_.end()) member->second.sent_bytes += bytes;
}

bool Membership::IsGone(const Member& member, absl::Duration now) const {
  return member.state == MemberState::kLeft || IsLost(member, now);
}

bool Membership::IsLost(const Member& member, absl::Duration now) const {
  return member.state == MemberState::kJoined && now - member.last_heard > lease_;
}

std::vector<Member> Membership::members() const {
  std::lock_guard lock(mutex_);
  const absl::Duration now = time_.Now();
  std::vector<Member> members;
  for (const auto& [rank, member] : members_) {
    members.push_back(member);
    members.back().silent = now - member.last_heard;
    members.back().lost = IsLost(member, now);
  }
  return members;
}

bool Membership::AllFinished() const {
  std::lock_guard lock(mutex_);
  return members_.size() == worker_count_ && std::all_of(members_.begin(), members_.end(), [](const auto& entry) {
           return entry.second.state == MemberState::kFinished;
         });
}

std::vector<uint32_t> Membership::TakeNewlyLost() {
  std::lock_guard lock(mutex_);
  const absl::Duration now = time_.Now();
  std::vector<uint32_t> lost;
  for (auto& [rank, member] : members_) {
    if (!IsLost(member, now) || member.lost_told) continue;
    member.lost_told = true;
    lost.push_back(rank);
  }
  return lost;
}

}  // namespace cddp
