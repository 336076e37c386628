#include "server/membership.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/transport/status_marks.h"

namespace cddp {
namespace {

// The number of ranges of ranks that are listed.
constexpr int kMostRuns = 20;

}  // namespace

absl::string_view MemberStateName(MemberState state) {
  switch (state) {
    case MemberState::kJoined:
      return "joined";
    case MemberState::kFinished:
      return "finished";
    case MemberState::kLeft:
      return "left";
    case MemberState::kLost:
      return "lost";
  }
  return "unknown";
}

bool Membership::IsFree(uint32_t rank, uint64_t incarnation, absl::Duration now) const {
  const auto found = members_.find(rank);
  if (found == members_.end()) return true;
  const Member& member = found->second;
  return member.incarnation != incarnation && IsGone(member, now);
}

absl::StatusOr<uint32_t> Membership::Claim(uint64_t incarnation, uint64_t nonce) {
  MutexLock lock(mutex_);
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
    return absl::UnavailableError(absl::StrCat("all ", worker_count_,
                                               " ranks are taken (the servers have --workers=", worker_count_,
                                               "), and a run never has more; a lost worker's is free after its lease"));
  }
  claims_[*rank] = {incarnation, nonce, now};
  return *rank;
}

absl::StatusOr<bool> Membership::Join(uint32_t rank, uint64_t incarnation) {
  if (rank >= worker_count_) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", rank, " is outside the cluster's ", worker_count_, " workers (ranks count from 0)"));
  }
  MutexLock lock(mutex_);
  const absl::Duration now = time_.Now();
  const auto [at, is_first] = members_.try_emplace(rank);
  Member& member = at->second;
  if (member.incarnation > incarnation && !IsGone(member, now)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a newer process holds rank ", rank, " (incarnation ", member.incarnation, " > ", incarnation,
        "): are two workers started with one --rank? If a clock was set back, start this one again after the lease"));
  }
  const bool is_new = is_first || member.incarnation != incarnation;
  if (is_new) {
    member = Member{};
    member.rank = rank;
    member.incarnation = incarnation;
    NoteChange(&member);
  } else if (member.state == MemberState::kLost) {
    SetState(&member, MemberState::kJoined);
  }
  member.last_heard = now;
  return is_new;
}

absl::Status Membership::CheckNotHeld(uint32_t rank, uint64_t incarnation) const {
  MutexLock lock(mutex_);
  const auto found = members_.find(rank);
  if (found == members_.end() || found->second.incarnation == incarnation) return absl::OkStatus();
  const Member& member = found->second;
  const absl::Duration now = time_.Now();
  if (member.state != MemberState::kJoined || IsLost(member, now)) return absl::OkStatus();
  absl::Status held = absl::UnavailableError(
      absl::StrCat("another worker holds rank ", rank, ", and was heard of ",
                   absl::FormatDuration(absl::Trunc(now - member.last_heard, absl::Milliseconds(100))),
                   " ago: are two started with one --rank? If that one is gone, its rank is free after the lease of ",
                   absl::FormatDuration(lease_)));
  held.SetPayload(kRankHeld, absl::Cord());
  return held;
}

void Membership::NoteChange(Member* member) {
  member->view = view() + 1;
  view_.store(member->view, std::memory_order_release);
  changes_.push_back({member->view, member->rank, member->incarnation, member->state, JoinedRanks()});
}

void Membership::SetState(Member* member, MemberState state) {
  member->state = state;
  NoteChange(member);
}

std::string Membership::JoinedRanks() const {
  std::string text;
  int runs = 0;
  for (auto member = members_.begin(); member != members_.end();) {
    if (member->second.state != MemberState::kJoined) {
      ++member;
      continue;
    }
    if (++runs > kMostRuns) return absl::StrCat(text, ",...");
    const uint32_t begin = member->first;
    uint32_t end = begin;
    while (member != members_.end() && member->first == end && member->second.state == MemberState::kJoined) {
      ++member;
      ++end;
    }
    absl::StrAppend(&text, text.empty() ? "" : ",", begin);
    if (end - begin > 1) absl::StrAppend(&text, "-", end - 1);
  }
  return text;
}

std::vector<MemberChange> Membership::TakeChanges() {
  MutexLock lock(mutex_);
  return std::exchange(changes_, {});
}

void Membership::Restore(uint32_t rank, uint64_t incarnation, MemberState state, uint64_t view) {
  MutexLock lock(mutex_);
  Member& member = members_[rank];
  if (view < member.view) return;
  view_.store(std::max(view, this->view()), std::memory_order_release);
  member = Member{};
  member.view = view;
  member.rank = rank;
  member.incarnation = incarnation;
  member.state = state;
  member.part = MemberPart::kContributes;
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
  if (member->second.state == MemberState::kLost) SetState(&member->second, MemberState::kJoined);
  return absl::OkStatus();
}

absl::Status Membership::Touch(uint32_t rank, uint64_t incarnation) {
  MutexLock lock(mutex_);
  return CheckHolder(rank, incarnation);
}

absl::StatusOr<bool> Membership::TouchContributor(uint32_t rank, uint64_t incarnation) {
  MutexLock lock(mutex_);
  if (absl::Status status = CheckHolder(rank, incarnation); !status.ok()) return status;
  MemberPart& part = members_[rank].part;
  if (part == MemberPart::kUndecided) part = MemberPart::kContributes;
  return part == MemberPart::kContributes;
}

absl::StatusOr<bool> Membership::BeginCatchUp(uint32_t rank, uint64_t incarnation) {
  MutexLock lock(mutex_);
  if (absl::Status status = CheckHolder(rank, incarnation); !status.ok()) return status;
  Member& member = members_[rank];
  if (member.part != MemberPart::kUndecided) return false;
  member.part = MemberPart::kCatchingUp;
  member.read_since = time_.Now();
  return true;
}

bool Membership::IsCatchingUp(uint32_t rank) const {
  MutexLock lock(mutex_);
  const auto member = members_.find(rank);
  return member != members_.end() && member->second.part == MemberPart::kCatchingUp;
}

void Membership::NoteRead(uint32_t rank, uint64_t incarnation, uint64_t bytes) {
  MutexLock lock(mutex_);
  const auto member = members_.find(rank);
  if (member == members_.end() || member->second.incarnation != incarnation) return;
  if (member->second.part == MemberPart::kCatchingUp) member->second.read_bytes += bytes;
}

void Membership::EndCatchUp(uint32_t rank) {
  MutexLock lock(mutex_);
  const auto member = members_.find(rank);
  if (member == members_.end() || member->second.part != MemberPart::kCatchingUp) return;
  member->second.part = MemberPart::kContributes;
  member->second.reading_time = time_.Now() - member->second.read_since;
}

absl::Status Membership::Heartbeat(uint32_t rank, uint64_t incarnation, uint64_t step, double loss) {
  MutexLock lock(mutex_);
  absl::Status status = CheckHolder(rank, incarnation);
  if (!status.ok()) return status;
  Member& member = members_[rank];
  member.step = std::max(member.step, step);
  member.loss = loss;
  return absl::OkStatus();
}

absl::Status Membership::Leave(uint32_t rank, uint64_t incarnation, bool finished) {
  MutexLock lock(mutex_);
  absl::Status status = CheckHolder(rank, incarnation);
  if (!status.ok()) return status;
  Member& member = members_[rank];
  if (member.state == MemberState::kJoined) {  // otherwise it is a retry
    SetState(&member, finished ? MemberState::kFinished : MemberState::kLeft);
  }
  return absl::OkStatus();
}

void Membership::NoteContribution(uint32_t rank, uint64_t step, uint64_t received_bytes, uint64_t sent_bytes) {
  MutexLock lock(mutex_);
  const auto member = members_.find(rank);
  if (member == members_.end()) return;
  member->second.step = std::max(member->second.step, step);
  member->second.received_bytes += received_bytes;
  member->second.sent_bytes += sent_bytes;
}

bool Membership::IsGone(const Member& member, absl::Duration now) const {
  return member.state == MemberState::kLeft || IsLost(member, now);
}

bool Membership::IsLost(const Member& member, absl::Duration now) const {
  return member.state == MemberState::kLost ||
         (member.state == MemberState::kJoined && now - member.last_heard > lease_);
}

std::vector<Member> Membership::members() const {
  MutexLock lock(mutex_);
  const absl::Duration now = time_.Now();
  std::vector<Member> members;
  for (const auto& [rank, member] : members_) {
    members.push_back(member);
    members.back().silent = now - member.last_heard;
    members.back().lost = IsLost(member, now);
    if (member.part == MemberPart::kCatchingUp) members.back().reading_time = now - member.read_since;
  }
  return members;
}

bool Membership::AllFinished() const {
  MutexLock lock(mutex_);
  return members_.size() == worker_count_ && std::all_of(members_.begin(), members_.end(), [](const auto& entry) {
           return entry.second.state == MemberState::kFinished;
         });
}

std::vector<uint32_t> Membership::TakeNewlyLost() {
  MutexLock lock(mutex_);
  const absl::Duration now = time_.Now();
  std::vector<uint32_t> lost;
  for (auto& [rank, member] : members_) {
    if (member.state != MemberState::kJoined || !IsLost(member, now)) continue;
    SetState(&member, MemberState::kLost);
    lost.push_back(rank);
  }
  return lost;
}

}  // namespace cddp
