#include "server/shard_recovery.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cddp/v1/parameter_server.pb.h"
#include "common/clock/steady_time.h"
#include "common/transport/layout_message.h"

namespace cddp {
namespace {

// Writes one bucket's events to the shard's journal.
class JournalOfBucket final : public BucketJournal {
 public:
  JournalOfBucket(Journal* journal, uint32_t bucket) : journal_(*journal), bucket_(bucket) {}

  uint64_t Counted(const Contribution& contribution) override {
    if (!open_.exchange(true)) journal_.NoteOpenRounds(1);
    return AppendTo(journal_, CountEvent{bucket_, contribution});
  }
  uint64_t Admitted(uint32_t rank) override { return AppendTo(journal_, AdmitEvent{bucket_, rank}); }
  uint64_t Retired(uint32_t rank) override { return AppendTo(journal_, RetireEvent{bucket_, rank}); }
  void WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then) override {
    if (open_.exchange(false)) journal_.NoteOpenRounds(-1);
    journal_.WhenDurable(position, std::move(then));
  }

 private:
  Journal& journal_;
  const uint32_t bucket_;
  std::atomic<bool> open_{false};  // whether there are contributions without an answer
};

}  // namespace

std::string SerializeLayout(const ParameterLayout& layout) { return ToMessage(layout).SerializeAsString(); }

absl::Status Shard::Recover() {
  if (options_.state_dir.empty()) {
    if (!options_.run.empty()) run_.Set(options_.run);
    return absl::OkStatus();
  }
  MutexLock lock(join_mutex_);
  const absl::Time begin = SteadyNow();
  uint64_t replayed = 0;
  absl::StatusOr<std::unique_ptr<Journal>> journal =
      Journal::Open({options_.state_dir, options_.durability, options_.restore_version, options_.files,
                     [this](absl::Duration took) { metrics_.NoteJournalWrite(took); }},
                    [&](SharedBytes events, uint64_t position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_) {
                      absl::StatusOr<uint64_t> count = Replay(std::move(events), position);
                      if (count.ok()) replayed += *count;
                      return count;
                    });
  if (!journal.ok()) return journal.status();
  journal_ = *std::move(journal);
  if (absl::Status status = TakeGivenRun(); !status.ok()) return status;
  if (space_ == nullptr) return absl::OkStatus();
  if (journal_->went_back()) {
    // From here on the checkpoint is where the journal begins; what came after it is forgotten. Later checkpoints go
    // first: once there is a snapshot, no start knows that they belong to what was forgotten.
    absl::Status status = RemoveCheckpointsAfter(options_.restore_version);
    if (status.ok()) status = SaveState(*space_, journal_->segment(), Agreed(), membership_.members());
    if (status.ok()) status = journal_->RemoveBefore(journal_->segment().segment);
    if (!status.ok()) return status;
  }
  Attach(space_.get());
  for (const auto& bucket : space_->buckets) bucket->NoteRecovered();
  published_space_.store(space_.get(), std::memory_order_release);
  RaiseDurableView(membership_.view());
  // A lost worker may have contributed again just before the crash: its bucket knew that, the list of members did not.
  for (const Member& member : membership_.members()) {
    if (member.state == MemberState::kLost) Retire(member.rank);
  }
  const uint64_t newest_loaded = *std::max_element(space_->loaded.begin(), space_->loaded.end());
  uint64_t version = UINT64_MAX;
  for (const auto& bucket : space_->buckets) version = std::min(version, bucket->version());
  spdlog::info("event=run name={}", run_.name());
  spdlog::info("event=recovered version={} view={} events={} journal_bytes={} seconds={:.3f}", version, view(),
               replayed, journal_->bytes(), absl::ToDoubleSeconds(SteadyNow() - begin));
  lock.Unlock();
  // A crash can leave a snapshot that is ahead of the journal. Positions count on from the journal, so the snapshot, by
  // whose positions events are left out, is made anew. Where a crash may take buckets back, it says which versions
  // workers may hold that are lost: the next start must know of this one.
  const bool may_lose = options_.durability != Durability::kVersion;
  return may_lose || newest_loaded > journal_->position() ? WriteSnapshot() : absl::OkStatus();
}

absl::Status Shard::TakeGivenRun() {
  const std::string held = run_.name();
  if (held.empty() && options_.resume) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--resume: --state_dir=", options_.state_dir, " holds nothing of ",
        options_.run.empty() ? "a run" : absl::StrCat("run ", options_.run),
        ": restore it from a copy, or begin anew, without --resume and with all state of that run removed"));
  }
  if (options_.run.empty() || held == options_.run) return absl::OkStatus();
  if (!held.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--state_dir=", options_.state_dir, " holds run ", held,
                                                   ", but this server has --run=", options_.run,
                                                   ": name that run's folder, or an empty one"));
  }
  run_.Set(options_.run);
  AppendTo(*journal_, RunEvent{options_.run});
  return Sync();
}

absl::Status Shard::ReplayBegin(const BeginEvent& begin) {
  if (const std::string difference = DescribeFileDifference(begin.options, DescribeForJournal(options_), "server");
      !difference.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(difference, ": start it with the same flags, or with an empty --state_dir"));
  }
  v1::Layout message;
  if (!message.ParseFromString(begin.layout)) return absl::DataLossError("the layout cannot be read");
  absl::StatusOr<ParameterLayout> layout = FromMessage(message);
  if (!layout.ok()) return layout.status();
  absl::StatusOr<std::unique_ptr<Space>> space = MakeSpace(*layout);
  if (!space.ok()) return space.status();
  space_ = *std::move(space);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Shard::Replay(SharedBytes events, uint64_t position) {
  uint64_t count = 0;
  for (; !events.empty(); ++count) {
    ShardEvent event;
    if (absl::Status status = TakeEvent(&events, &event); !status.ok()) return status;
    if (absl::Status status = ReplayOne(event, position == 0 ? 0 : position + count); !status.ok()) return status;
  }
  return count;
}

absl::Status Shard::ReplayOne(const ShardEvent& event, uint64_t position) {
  if (const auto* begin = std::get_if<BeginEvent>(&event)) return ReplayBegin(*begin);
  if (const auto* run = std::get_if<RunEvent>(&event)) {
    run_.Set(run->name);
    return absl::OkStatus();
  }
  if (space_ == nullptr) return absl::DataLossError("the journal does not begin with a layout");
  Space& space = *space_;
  if (const auto* agreed = std::get_if<AgreementEvent>(&event)) {
    agreement_.Adopt(agreed->rank, agreed->settings);
    return absl::OkStatus();
  }
  if (const auto* member = std::get_if<MemberEvent>(&event)) {
    if (member->rank >= options_.worker_count) return absl::DataLossError("an event of an unknown worker");
    membership_.Restore(member->rank, member->incarnation, member->state, member->view);
    return absl::OkStatus();
  }
  const auto at = [&](uint32_t bucket, uint32_t rank) -> BucketState* {
    return space.run.contains(bucket) && rank < options_.worker_count ? &space.at(bucket) : nullptr;
  };
  const absl::Status unknown = absl::DataLossError("an event of an unknown bucket or worker");
  if (const auto* saved = std::get_if<BucketEvent>(&event)) {
    BucketState* bucket = at(saved->bucket, 0);
    if (bucket == nullptr) return unknown;
    space.loaded[saved->bucket - space.run.begin] = saved->position;
    return bucket->Load(saved->state);
  }
  const auto is_loaded = [&](uint32_t bucket) {  // whether the loaded state includes the event
    return position <= space.loaded[bucket - space.run.begin];
  };
  if (const auto* admit = std::get_if<AdmitEvent>(&event)) {
    BucketState* bucket = at(admit->bucket, admit->rank);
    if (bucket == nullptr) return unknown;
    if (!is_loaded(admit->bucket)) bucket->Admit(admit->rank);
    return absl::OkStatus();
  }
  if (const auto* retire = std::get_if<RetireEvent>(&event)) {
    BucketState* bucket = at(retire->bucket, retire->rank);
    if (bucket == nullptr) return unknown;
    if (!is_loaded(retire->bucket)) bucket->Retire(retire->rank);
    return absl::OkStatus();
  }
  const auto& count = std::get<CountEvent>(event);
  BucketState* bucket = at(count.bucket, count.contribution.rank);
  if (bucket == nullptr) return unknown;
  if (is_loaded(count.bucket)) return absl::OkStatus();
  // No call waits for the answer any more, but an immediate error means that the journal does not fit this program.
  auto refused = std::make_shared<absl::Status>();
  bucket->Exchange(count.contribution,
                   [refused](const absl::StatusOr<ExchangeAnswer>& answer) { *refused = answer.status(); });
  return *refused;
}

void Shard::Attach(Space* space) {
  for (uint32_t i = 0; i < space->buckets.size(); ++i) {
    space->journals.push_back(std::make_unique<JournalOfBucket>(journal_.get(), space->run.begin + i));
    space->buckets[i]->set_journal(space->journals.back().get());
  }
}

}  // namespace cddp
