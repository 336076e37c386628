#include "tests/simulation/history.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/codec/update_codec.h"

namespace cddp::simulation {
namespace {

bool IsZero(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return value == 0; });
}

// Contributions to earlier rounds that may count in one: those of workers that were away.
constexpr uint32_t kMostLate = 3;

}  // namespace

History::History(const ParameterLayout& layout, uint32_t workers, uint32_t servers,
                 const ConsistencyOptions& consistency, bool durable, Violated violated)
    : layout_(layout),
      workers_(workers),
      consistency_(consistency),
      durable_(durable),
      violated_(std::move(violated)),
      buckets_(layout.bucket_count()),
      answered_(layout.bucket_count()),
      views_(servers) {}

std::vector<float> History::Decode(uint32_t bucket, absl::string_view update) const {
  std::vector<float> values(layout_.bucket_length(bucket));
  if (update.empty()) return values;
  if (const absl::Status status = AddUpdate(update, absl::MakeSpan(values)); !status.ok()) {
    violated_(absl::StrCat("an update of bucket ", bucket, " cannot be read: ", std::string(status.message())));
  }
  return values;
}

History::Contribution& History::Find(uint32_t rank, uint64_t incarnation, const Push& push) {
  std::vector<Contribution>& all = buckets_[push.bucket].contributions;
  const uint64_t key = consistency_.mode == Consistency::kSync ? 0 : incarnation;
  // The newest lie behind.
  for (auto each = all.rbegin(); each != all.rend(); ++each) {
    if (each->rank == rank && each->step == push.step && each->incarnation == key) return *each;
  }
  all.push_back({rank, key, push.step, {}});
  return all.back();
}

void History::NotePush(uint32_t rank, uint64_t incarnation, const Push& push) {
  Contribution& contribution = Find(rank, incarnation, push);
  std::vector<float> values = Decode(push.bucket, push.update.view());
  if (tell_) {
    tell_(absl::StrCat("push of rank ", rank, " incarnation ", incarnation, " bucket ", push.bucket, " step ",
                       push.step, " base ", push.base_version, push.non_finite ? " not finite:" : ":",
                       absl::StrJoin(values, " ")));
  }
  std::vector<std::vector<float>>& choices = contribution.choices;
  if (std::find(choices.begin(), choices.end(), values) == choices.end()) choices.push_back(std::move(values));
}

void History::NoteAnswer(uint32_t rank, uint64_t incarnation, const Push& push, const PushReply& reply) {
  const uint32_t bucket = push.bucket;
  if (tell_) {
    tell_(absl::StrCat("answer to rank ", rank, " incarnation ", incarnation, " bucket ", bucket, " step ", push.step,
                       " base ", push.base_version, ": version ", reply.version, reply.refused ? " refused" : "",
                       reply.replaces ? " whole" : ""));
  }
  answered_[bucket] = std::max(answered_[bucket], reply.version);
  if (!durable_) return;
  if (reply.version < push.base_version) {
    violated_(absl::StrCat("rank ", rank, " at version ", push.base_version, " of bucket ", bucket, " is answered ",
                           reply.version));
  }
  Contribution& contribution = Find(rank, incarnation, push);
  (reply.refused ? contribution.refused : contribution.answered) = true;
  contribution.answered_at = std::max(contribution.answered_at, reply.version);
  if (reply.replaces) {
    SetWeights(absl::StrCat("the answer to rank ", rank), bucket, reply.version,
               Decode(bucket, reply.updates.front().view()));
  } else if (reply.version == push.base_version + 1 && reply.updates.empty()) {
    NoteChange(bucket, reply.version, "");
  } else if (reply.version == push.base_version + reply.updates.size()) {  // refused rounds have no update
    for (size_t i = 0; i < reply.updates.size(); ++i) {
      NoteChange(bucket, push.base_version + 1 + i, reply.updates[i].view());
    }
  }
}

void History::NoteChange(uint32_t bucket, uint64_t version, absl::string_view bytes) {
  Version& noted = buckets_[bucket].versions[version];
  if (noted.known) {
    if (noted.bytes != bytes) {
      violated_(absl::StrCat("bucket ", bucket, " has two different versions ", version));
    }
    return;
  }
  noted.known = true;
  noted.bytes = std::string(bytes);
  noted.change = Decode(bucket, bytes);
  if (!Explain(bucket, version)) {
    violated_(absl::StrCat("version ", version, " of bucket ", bucket,
                           " is no mean of contributions that have not counted before"));
  }
  const auto before = buckets_[bucket].versions.find(version - 1);
  std::vector<float> weights(layout_.bucket_length(bucket));
  if (version > 1) {
    if (before == buckets_[bucket].versions.end() || before->second.weights.empty()) return;
    weights = before->second.weights;
  }
  for (size_t i = 0; i < weights.size(); ++i) weights[i] += noted.change[i];
  SetWeights("the sum of all changes", bucket, version, weights);
}

bool History::Explain(uint32_t bucket, uint64_t version) {
  const Version& noted = buckets_[bucket].versions[version];
  if (noted.bytes.empty()) return true;  // refused, or a round without contributions
  const bool shares_rounds = consistency_.mode == Consistency::kSync || version == 1;
  std::vector<Contribution*> of_round;
  std::vector<Contribution*> told;  // late, and answered before this version was made
  std::vector<Contribution*> others;
  for (Contribution& each : buckets_[bucket].contributions) {
    if (each.counted_in != 0) continue;
    if (shares_rounds ? each.step == version - 1 : each.step > 0) {
      of_round.push_back(&each);
    } else if (shares_rounds && each.step < version - 1 && each.step > 0) {
      const bool is_told = each.answered && !each.refused && each.answered_at < version && each.choices.size() == 1;
      (is_told ? told : others).push_back(&each);
    }
  }
  std::reverse(of_round.begin(), of_round.end());  // the newest first
  // The mean of two that are equal looks like one alone, so those that must count come first.
  if (!told.empty() && Explain(bucket, version, of_round, told, of_round.size())) return true;
  if (Explain(bucket, version, of_round, {}, shares_rounds ? of_round.size() : 1)) return true;
  if (!shares_rounds || version == 1) return false;
  for (const bool with_told : {true, false}) {
    std::vector<Contribution*> candidates = of_round;
    candidates.insert(candidates.end(), others.begin(), others.end());
    if (!with_told) candidates.insert(candidates.end(), told.begin(), told.end());
    for (uint32_t late = with_told ? 0 : 1; late <= kMostLate; ++late) {
      if (Explain(bucket, version, candidates, with_told ? told : std::vector<Contribution*>(),
                  of_round.size() + late)) {
        return true;
      }
    }
  }
  return false;
}

bool History::Explain(uint32_t bucket, uint64_t version, const std::vector<Contribution*>& candidates,
                      const std::vector<Contribution*>& certain, size_t most) {
  const Version& noted = buckets_[bucket].versions[version];
  // All workers are likelier than few of them.
  for (uint32_t shares = version == 1 ? 1 : workers_; shares > 0; --shares) {
    std::vector<float> left(noted.change.size());
    const float scale = version == 1 ? 1.0f : -static_cast<float>(shares);  // the first are weights
    for (size_t i = 0; i < left.size(); ++i) left[i] = std::round(noted.change[i] * scale * 16) / 16;
    for (const Contribution* each : certain) {
      for (size_t i = 0; i < left.size(); ++i) left[i] -= each->choices.front()[i];
    }
    std::vector<Contribution*> chosen;
    if (!Search(version, left, 0, most, candidates, chosen, shares)) continue;
    chosen.insert(chosen.end(), certain.begin(), certain.end());
    for (Contribution* each : chosen) {
      each->counted_in = version;
      if (tell_) {
        tell_(
            absl::StrCat("bucket ", bucket, " version ", version, " holds rank ", each->rank, "'s step ", each->step));
      }
    }
    return true;
  }
  return false;
}

bool History::Search(uint64_t version, std::vector<float>& left, size_t from, size_t most,
                     const std::vector<Contribution*>& candidates, std::vector<Contribution*>& chosen,
                     uint32_t shares) {
  // Those of the round are taken as far as they fit: two may have a sum of zero.
  const bool of_the_round = from < candidates.size() && candidates[from]->step == version - 1 && most > 1;
  if (IsZero(left) && !of_the_round) return true;
  if (from == candidates.size() || chosen.size() == most) return IsZero(left);
  Contribution* const next = candidates[from];
  // A late one counts beside what its worker gives to the round, but no more workers than shares take part.
  const bool of_round = next->step == version - 1;
  uint32_t others = 0;
  for (const Contribution* each : chosen) others += each->step == version - 1 ? 1 : 0;
  if (!of_round || consistency_.mode != Consistency::kSync || version == 1 || others < shares) {
    for (const std::vector<float>& choice : next->choices) {
      if (IsZero(choice)) continue;  // a mark, or a worker that only rolls forward: whether it counts shows nowhere
      for (size_t i = 0; i < left.size(); ++i) left[i] -= choice[i];
      chosen.push_back(next);
      if (Search(version, left, from + 1, most, candidates, chosen, shares)) return true;
      chosen.pop_back();
      for (size_t i = 0; i < left.size(); ++i) left[i] += choice[i];
    }
  }
  return Search(version, left, from + 1, most, candidates, chosen, shares);
}

void History::SetWeights(const std::string& who, uint32_t bucket, uint64_t version, absl::Span<const float> weights) {
  Version& noted = buckets_[bucket].versions[version];
  if (noted.weights.empty()) {
    noted.weights.assign(weights.begin(), weights.end());
    return;
  }
  if (!std::equal(weights.begin(), weights.end(), noted.weights.begin(), noted.weights.end())) {
    violated_(absl::StrCat(who, " is not what others have as version ", version, " of bucket ", bucket));
  }
}

void History::NoteWeights(const std::string& who, uint32_t bucket, uint64_t version, absl::Span<const float> weights) {
  if (durable_) SetWeights(who, bucket, version, weights);
}

void History::NoteRecovered(uint32_t bucket, uint64_t version, absl::Span<const float> weights) {
  lost_versions_ |= version < answered_[bucket];
  if (!durable_) return;
  if (version < answered_[bucket]) {
    violated_(absl::StrCat("bucket ", bucket, " is at version ", version, " after a start, but version ",
                           answered_[bucket], " was answered"));
  }
  if (version > 0) SetWeights("a server after its start", bucket, version, weights);
}

void History::NoteView(uint32_t server, uint64_t view) { views_[server] = std::max(views_[server], view); }

void History::NoteRecoveredView(uint32_t server, uint64_t view) {
  if (durable_ && view < views_[server]) {
    violated_(absl::StrCat("server ", server, " is at view ", view, " after a start, but view ", views_[server],
                           " was told"));
  }
}

void History::CheckThatAllCounts() {
  if (!durable_) return;
  for (uint32_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    const Bucket& of = buckets_[bucket];
    // Where a change is not known, contributions may have counted in it.
    uint64_t known = 0;
    uint64_t applied = 0;  // the last that was not refused
    while (true) {
      const auto next = of.versions.find(known + 1);
      if (next == of.versions.end() || !next->second.known) break;
      ++known;
      if (!next->second.bytes.empty()) applied = known;
    }
    for (const Contribution& each : of.contributions) {
      if (each.step == 0) continue;  // a new process may give the first weights again, which count once
      const bool is_zero = std::any_of(each.choices.begin(), each.choices.end(), IsZero);
      if (each.refused && !each.answered && each.counted_in != 0) {
        violated_(absl::StrCat("rank ", each.rank, "'s contribution to step ", each.step, " of bucket ", bucket,
                               " was refused, but counts in version ", each.counted_in));
      }
      // One that was late then counts in the next round, of those after the version that it was answered, that is
      // closed and not refused.
      if (each.answered && !each.refused && !is_zero && each.counted_in == 0 && known == answered_[bucket] &&
          each.answered_at < applied) {
        violated_(absl::StrCat("rank ", each.rank, "'s contribution to step ", each.step, " of bucket ", bucket,
                               " was answered, but counts in no version"));
      }
    }
  }
}

}  // namespace cddp::simulation
