// A shard that is taken from its training at any moment, with snapshots and checkpoints in between, ends as if nothing
// had happened, or says why not.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/shard.h"
#include "tests/unit/journal/faulty_files.h"
#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kWorkers = 2;
constexpr uint64_t kSteps = 12;

ParameterLayout Layout() { return *ParameterLayout::Create({{"a", {10}}, {"b", {5}}}, 8); }

std::string Gradient(uint32_t rank, uint32_t bucket, uint64_t step, uint32_t length) {
  std::mt19937 random(static_cast<uint32_t>(step * 100 + uint64_t{bucket} * 10 + rank));
  std::vector<float> values(length);
  // Two thirds are not pushed.
  for (float& value : values) value = random() % 3 != 0 ? 0 : std::normal_distribution<float>()(random);
  return Dense(values);
}

struct Options {
  OptimizerKind optimizer = OptimizerKind::kSgd;
  Durability durability = Durability::kVersion;
  uint64_t restore_version = 0;
  uint32_t quorum = 0;
  double publish_ratio = kPublishAllPushed;
};

// A shard on files in memory, and its workers.
class Training {
 public:
  Training(FaultyFiles* files, const Options& options) : metrics_(0, kWorkers) {
    ShardOptions shard;
    shard.worker_count = kWorkers;
    shard.optimizer.kind = options.optimizer;
    shard.consistency.quorum = options.quorum;
    shard.publish.ratio = options.publish_ratio;
    shard.state_dir = "state";
    shard.durability = options.durability;
    shard.restore_version = options.restore_version;
    shard.files = files;
    shard_ = std::make_unique<Shard>(shard, &metrics_);
  }

  absl::Status Start() {
    absl::Status status = shard_->Recover();
    for (uint32_t rank = 0; rank < kWorkers && status.ok(); ++rank) {
      status = shard_->Join(rank, 1, kWorkers, Layout()).status();
    }
    return status;
  }

  // A contribution whose answer nobody waits for.
  void Push(uint32_t rank, uint32_t bucket, uint64_t step) {
    pushed_.push_back(std::make_unique<Call>());
    Exchange(rank, bucket, step, pushed_.back().get());
  }

  // All workers make the rounds before `end` that are not made yet, bucket by bucket; snapshots and a checkpoint come
  // between the contributions of a round. The first error ends it.
  absl::Status TrainUntil(uint64_t end) {
    while (true) {
      const ShardStatus status = shard_->status();
      if (status.min_version >= end) return absl::OkStatus();
      if (absl::Status round = MakeRound(status.min_version); !round.ok()) return round;
      // Of both workers of every bucket, so all have been told.
      answered_ = status.min_version + 1;
    }
  }

  absl::Status MakeRound(uint64_t step) {
    for (uint32_t bucket = 0; bucket < Layout().bucket_count(); ++bucket) {
      Call calls[kWorkers];
      for (uint32_t rank = 0; rank < kWorkers; ++rank) {
        Exchange(rank, bucket, step, &calls[rank]);
        if (rank == 0 && bucket == 1 && step % 3 == 1) shard_->WriteSnapshot().IgnoreError();
      }
      absl::Status status;
      for (Call& call : calls) {
        status.Update(call.answer->get_future().get());
      }
      if (!status.ok()) return status;
    }
    if (step == 4) {  // a checkpoint of the version after the next
      shard_->WriteCheckpoint(6, [this](const absl::Status& status) { checkpoint_ = status; });
    }
    shard_->WriteDueFiles();
    return absl::OkStatus();
  }

  ~Training() { shard_->Close(absl::UnavailableError("the test ends")); }

  Shard& shard() { return *shard_; }
  uint64_t answered() const { return answered_; }
  absl::Status checkpoint() const { return checkpoint_; }

 private:
  struct Call {
    std::shared_ptr<std::promise<absl::Status>> answer = std::make_shared<std::promise<absl::Status>>();
  };

  void Exchange(uint32_t rank, uint32_t bucket, uint64_t step, Call* call) {
    SharedBytes update;
    if (step > 0 || rank == 0) {
      update = SharedBytes::Own(Gradient(rank, bucket, step, Layout().bucket_length(bucket)));
    }
    shard_->Exchange(
        1, shard_->view(), bucket, {rank, step, step, update},
        [told = call->answer](const absl::StatusOr<ExchangeAnswer>& answer) { told->set_value(answer.status()); });
  }

  std::vector<std::unique_ptr<Call>> pushed_;
  ServerMetrics metrics_;
  std::unique_ptr<Shard> shard_;
  uint64_t answered_ = 0;
  absl::Status checkpoint_ = absl::UnknownError("not asked for");
};

// Checksums of an undisturbed run, by version.
std::map<uint64_t, uint32_t> Calm(const Options& options) {
  FaultyFiles files;
  Training training(&files, options);
  EXPECT_TRUE(training.Start().ok());
  std::map<uint64_t, uint32_t> checksums;
  for (uint64_t version = 1; version <= kSteps; ++version) {
    EXPECT_TRUE(training.TrainUntil(version).ok());
    checksums[version] = training.shard().Checksum();
  }
  return checksums;
}

class ShardCrashTest : public ::testing::TestWithParam<OptimizerKind> {};

TEST_P(ShardCrashTest, ACrashAtAnyCallLosesNoAnsweredVersion) {
  Options options;
  options.optimizer = GetParam();
  const std::map<uint64_t, uint32_t> calm = Calm(options);
  using Kept = FaultyFiles::Kept;
  for (const Kept kept : {Kept::kNothing, Kept::kHalf, Kept::kAll, Kept::kLengthOnly}) {
    bool completed = false;
    for (uint64_t calls = 0; !completed; ++calls) {
      FaultyFiles files;
      uint64_t answered = 0;
      {
        files.FailAfter(calls, absl::InternalError("crash"));
        Training training(&files, options);
        if (training.Start().ok()) completed = training.TrainUntil(kSteps).ok();
        answered = training.answered();
      }
      files.Crash(kept);
      Training again(&files, options);
      ASSERT_TRUE(again.Start().ok()) << "after call " << calls << ": " << again.Start();
      const ShardStatus status = again.shard().status();
      ASSERT_GE(status.min_version, answered) << "after call " << calls;
      ASSERT_TRUE(again.TrainUntil(kSteps).ok());
      ASSERT_EQ(again.shard().Checksum(), calm.at(kSteps)) << "after call " << calls;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, ShardCrashTest, ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdamW),
                         [](const auto& info) { return AbslUnparseFlag(info.param); });

TEST(ShardSnapshotTest, WithSnapshotsAloneACrashAtAnyCallGoesBackToOneOfThem) {
  Options options;
  options.durability = Durability::kSnapshot;
  const uint32_t calm = Calm({}).at(kSteps);
  using Kept = FaultyFiles::Kept;
  for (const Kept kept : {Kept::kNothing, Kept::kHalf, Kept::kAll, Kept::kLengthOnly}) {
    bool completed = false;
    for (uint64_t calls = 0; !completed; ++calls) {
      FaultyFiles files;
      {
        files.FailAfter(calls, absl::InternalError("crash"));
        Training training(&files, options);
        if (training.Start().ok()) completed = training.TrainUntil(kSteps).ok() && training.checkpoint().ok();
      }
      files.Crash(kept);
      Training again(&files, options);
      const absl::Status started = again.Start();
      ASSERT_TRUE(started.ok()) << "after call " << calls << ": " << started;
      ASSERT_TRUE(again.TrainUntil(kSteps).ok());
      ASSERT_EQ(again.shard().Checksum(), calm) << "after call " << calls;
    }
  }
}

// Of the zeros that fill a journal's blocks every 61st byte stands for those around it.
bool LikeItsNeighbours(const std::string& bytes, size_t at) {
  constexpr size_t kAround = 32;
  if (at % 61 == 0 || at < kAround || at + kAround >= bytes.size()) return false;
  return std::all_of(bytes.begin() + at - kAround, bytes.begin() + at + kAround, [](char byte) { return byte == 0; });
}

TEST(ShardSnapshotTest, EveryFlippedBitAndEveryMissingByteIsToldOrHarmless) {
  const Options options;
  const std::map<uint64_t, uint32_t> calm = Calm(options);
  FaultyFiles files;
  {
    Training training(&files, options);
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(7).ok());
  }
  const std::map<std::string, std::string> good = files.contents();
  ASSERT_EQ(good.count("snapshot-2"), 1u) << "the case must cover a snapshot";
  const auto check = [&](const std::string& what) {
    Training training(&files, options);
    if (const absl::Status status = training.Start(); !status.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status)) << what << ": " << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("state/")) << what;
      return;
    }
    // A journal cut between two frames is one that ended there: what is there is whole, and workers that know more say
    // so (FailedPrecondition: the bucket is behind).
    const ShardStatus status = training.shard().status();
    if (status.min_version == status.max_version && status.min_version > 0) {
      EXPECT_EQ(training.shard().Checksum(), calm.at(status.min_version)) << what;
    }
    EXPECT_TRUE(training.TrainUntil(kSteps).ok()) << what;
    EXPECT_EQ(training.shard().Checksum(), calm.at(kSteps)) << what;
  };
  for (const auto& [name, bytes] : good) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      if (LikeItsNeighbours(bytes, size)) continue;
      std::map<std::string, std::string> bad = good;
      bad[name].resize(size);
      files.set_contents(bad);
      check(absl::StrCat(name, " cut at ", size));
      if (HasFailure()) return;
    }
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      if (LikeItsNeighbours(bytes, bit / 8)) continue;
      std::map<std::string, std::string> bad = good;
      bad[name][bit / 8] = static_cast<char>(bad[name][bit / 8] ^ (1 << bit % 8));
      files.set_contents(bad);
      check(absl::StrCat(name, " with bit ", bit, " flipped"));
      if (HasFailure()) return;
    }
  }
}

TEST(ShardSnapshotTest, SnapshotsTakeThePlaceOfTheJournalBeforeThem) {
  FaultyFiles files;
  Training training(&files, {});
  ASSERT_TRUE(training.Start().ok());
  ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files.contents()) names.push_back(name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("lock", "checkpoint-6", "journal-4", "snapshot-4"));
}

TEST(ShardSnapshotTest, ASnapshotThatCannotBeWrittenLeavesTrainingGoingOn) {
  const std::map<uint64_t, uint32_t> calm = Calm({});
  FaultyFiles probe;
  uint64_t calls = 0;  // of one snapshot
  {
    Training training(&probe, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(3).ok());
    const uint64_t before = probe.calls();
    ASSERT_TRUE(training.shard().WriteSnapshot().ok());
    calls = probe.calls() - before;
  }
  uint64_t failures = 0;
  for (uint64_t call = 0; call < calls; ++call) {
    FaultyFiles files;
    {
      Training training(&files, {});
      ASSERT_TRUE(training.Start().ok());
      ASSERT_TRUE(training.TrainUntil(3).ok());
      files.FailOnce(call, absl::ResourceExhaustedError("the disk is full"));
      failures += !training.shard().WriteSnapshot().ok();
      ASSERT_TRUE(training.TrainUntil(kSteps).ok()) << "call " << call;
      EXPECT_EQ(training.shard().Checksum(), calm.at(kSteps));
    }
    Training again(&files, {});
    ASSERT_TRUE(again.Start().ok()) << "call " << call;
    EXPECT_EQ(again.shard().Checksum(), calm.at(kSteps)) << "call " << call;
  }
  EXPECT_GT(failures, calls / 2);
}

TEST(ShardSnapshotTest, ACheckpointIsReadAndGoneBackTo) {
  const std::map<uint64_t, uint32_t> calm = Calm({});
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
    ASSERT_TRUE(training.checkpoint().ok()) << training.checkpoint();
    absl::Status past;
    training.shard().WriteCheckpoint(6, [&past](const absl::Status& status) { past = status; });
    training.shard().WriteDueFiles();
    EXPECT_TRUE(absl::IsFailedPrecondition(past)) << past;
    size_t elements = 0;
    const auto reader = training.shard().OpenCheckpoint(6);
    ASSERT_TRUE(reader.ok()) << reader.status();
    for (auto next = training.shard().ReadCheckpoint(**reader); next->has_value();
         next = training.shard().ReadCheckpoint(**reader)) {
      EXPECT_EQ((*next)->version, 6u);
      elements += (*next)->weights.size();
    }
    EXPECT_EQ(elements, Layout().total_elements());
    const absl::Status missing = training.shard().OpenCheckpoint(5).status();
    EXPECT_TRUE(absl::IsNotFound(missing));
    EXPECT_THAT(std::string(missing.message()), HasSubstr("there are: 6"));
  }
  Options back;
  back.restore_version = 6;
  std::map<std::string, std::string> before = files.contents();
  before["checkpoint-9"] = before.at("checkpoint-6");
  before["journal-4"].append(100, '\0');  // a torn tail
  // A crash at any call of the way back leaves either state, and trying again succeeds, as does giving up.
  for (uint64_t calls = 0; calls < 40; ++calls) {
    files.set_contents(before);
    files.FailAfter(calls, absl::InternalError("crash"));
    { Training(&files, back).Start().IgnoreError(); }
    files.Crash(FaultyFiles::Kept::kNothing);
    const std::map<std::string, std::string> crashed = files.contents();
    {
      Training given_up(&files, {});
      const absl::Status status = given_up.Start();
      ASSERT_TRUE(status.ok()) << "call " << calls << ": " << status;
      EXPECT_THAT(given_up.shard().status().max_version, ::testing::AnyOf(6u, kSteps));
    }
    files.set_contents(crashed);
    {
      Training training(&files, back);
      ASSERT_TRUE(training.Start().ok()) << "call " << calls;
      EXPECT_EQ(files.contents().count("checkpoint-9"), 0u) << "of what was forgotten";
      EXPECT_EQ(training.shard().status().max_version, 6u);
      EXPECT_EQ(training.shard().Checksum(), calm.at(6));
      ASSERT_TRUE(training.TrainUntil(8).ok());
    }
    {
      Training same(&files, back);
      ASSERT_TRUE(same.Start().ok());
      EXPECT_EQ(same.shard().status().min_version, 8u) << "it goes back once";
    }
    Training on(&files, {});
    ASSERT_TRUE(on.Start().ok()) << "call " << calls;
    ASSERT_TRUE(on.TrainUntil(kSteps).ok());
    EXPECT_EQ(on.shard().Checksum(), calm.at(kSteps));
  }
}

TEST(ShardSnapshotTest, OneGoesBackWhenTheJournalIsGoneAndTheNextStartKeepsWhatCameAfter) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  }
  std::map<std::string, std::string> lost = files.contents();
  for (const char* name : {"journal-4", "snapshot-4"}) {
    lost.erase(name);
    files.set_contents(lost);
    EXPECT_TRUE(absl::IsDataLoss(Training(&files, {}).Start())) << "without " << name << " there is more than nothing";
    if (std::string(name) == "snapshot-4") continue;
    Options back;
    back.restore_version = 6;
    {
      Training training(&files, back);
      ASSERT_TRUE(training.Start().ok());
      ASSERT_TRUE(training.TrainUntil(8).ok());
    }
    Training on(&files, {});
    ASSERT_TRUE(on.Start().ok()) << on.Start();
    EXPECT_EQ(on.shard().status().min_version, 8u);
  }
}

// The flag may stay where the server's flags are kept.
TEST(ShardSnapshotTest, DamageIsNoReasonToGoBackASecondTime) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  }
  Options back;
  back.restore_version = 6;
  {
    Training training(&files, back);
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(7).ok());
  }
  const std::map<std::string, std::string> good = files.contents();
  ASSERT_EQ(good.count("snapshot-5"), 1u);
  for (const bool missing : {false, true}) {
    std::map<std::string, std::string> bad = good;
    bad["snapshot-5"][40] ^= 1;  // in the first frame
    if (missing) bad.erase("snapshot-5");
    files.set_contents(bad);
    const absl::Status status = Training(&files, back).Start();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("move journal-5 away"));
    EXPECT_EQ(files.contents(), bad) << "nothing is removed";
  }
}

TEST(ShardSnapshotTest, ASegmentWithoutItsFirstFrameBesideItsSnapshotIsDamaged) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(kSteps).ok());
  }
  std::map<std::string, std::string> bad = files.contents();
  bad.at("journal-4").clear();
  files.set_contents(bad);
  const absl::Status status = Training(&files, {}).Start();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("its beginning is missing"));
}

// What happens between the cut of the journal and the moment when a bucket is saved is in both.
TEST(ShardSnapshotTest, EventsWhileASnapshotIsMadeCountOnce) {
  FaultyFiles files;
  uint32_t expected = 0;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(3).ok());
    int appends = 0;
    files.BeforeAppend("snapshot-", [&] {
      if (++appends != 5) return;  // bucket 0 is saved, bucket 1 is not
      training.Push(0, 1, 3);
      ASSERT_TRUE(training.shard().Leave(1, 1, false).ok());  // closes the round
      training.Push(1, 1, 4);                                 // takes part again
    });
    ASSERT_TRUE(training.shard().WriteSnapshot().ok());
    ASSERT_GE(appends, 5);
    expected = training.shard().Checksum();
    EXPECT_EQ(training.shard().status().max_version, 4u);
  }
  Training again(&files, {});
  ASSERT_TRUE(again.Start().ok());
  EXPECT_EQ(again.shard().Checksum(), expected);
  again.Push(0, 1, 4);
  EXPECT_EQ(again.shard().status().max_version, 5u);
  again.Push(0, 1, 5);
  EXPECT_EQ(again.shard().status().max_version, 5u) << "rank 1 takes part: it is waited for";
}

TEST(ShardSnapshotTest, ASnapshotAheadOfTheJournalIsMadeAnew) {
  FaultyFiles files;
  {
    Training training(&files, {});
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(3).ok());
    int appends = 0;
    files.BeforeAppend("snapshot-", [&] {
      if (++appends != 5) return;
      files.FailOnce(0, absl::InternalError("crash"));  // the frame of what comes now
      for (int again = 0; again < 5; ++again) {
        EXPECT_FALSE(training.shard().Leave(1, 1, false).ok()) << "it waits for the journal, which has failed";
      }
    });
    ASSERT_TRUE(training.shard().WriteSnapshot().ok());
    files.BeforeAppend("", nullptr);
  }
  uint32_t expected = 0;
  {
    Training again(&files, {});
    ASSERT_TRUE(again.Start().ok());
    ASSERT_TRUE(again.TrainUntil(4).ok());  // no snapshot of its own comes in between
    expected = again.shard().Checksum();
  }
  Training third(&files, {});
  ASSERT_TRUE(third.Start().ok());
  EXPECT_EQ(third.shard().status().min_version, 4u);
  EXPECT_EQ(third.shard().Checksum(), expected);
}

TEST(ShardSnapshotTest, LateContributionsAreKept) {
  Options options;
  options.quorum = 1;
  FaultyFiles files;
  uint32_t expected = 0;
  for (const bool restarted : {false, true}) {
    files.set_contents({});
    auto training = std::make_unique<Training>(&files, options);
    ASSERT_TRUE(training->Start().ok());
    ASSERT_TRUE(training->TrainUntil(5).ok());
    if (restarted) {
      ASSERT_TRUE(training->shard().WriteSnapshot().ok());
      training = std::make_unique<Training>(&files, options);
      ASSERT_TRUE(training->Start().ok());
    }
    ASSERT_TRUE(training->TrainUntil(kSteps).ok());
    if (restarted) {
      EXPECT_EQ(training->shard().Checksum(), expected);
    } else {
      expected = training->shard().Checksum();
    }
  }
}

TEST(ShardSnapshotTest, CheckpointsOfVersionsThatDoNotComeDoNotPileUp) {
  int refused = 0;  // outlives the training, whose end tells the others
  FaultyFiles files;
  Training training(&files, {});
  ASSERT_TRUE(training.Start().ok());
  ASSERT_TRUE(training.TrainUntil(1).ok());
  for (int i = 0; i < 1000; ++i) {
    training.shard().WriteCheckpoint(1'000'000,
                                     [&](const absl::Status& status) { refused += absl::IsResourceExhausted(status); });
  }
  EXPECT_EQ(refused, 1000 - 16);
  EXPECT_TRUE(training.TrainUntil(kSteps).ok()) << "and training goes on";
}

TEST(ShardSnapshotTest, WithoutDurabilityACrashGoesBackToTheLastSnapshotAndTakesWorkersBack) {
  Options options;
  options.durability = Durability::kSnapshot;
  FaultyFiles files;
  {
    Training training(&files, options);
    ASSERT_TRUE(training.Start().ok());
    ASSERT_TRUE(training.TrainUntil(7).ok());  // the last snapshot is made within round 4
  }
  files.Crash(FaultyFiles::Kept::kNothing);
  Training again(&files, options);
  ASSERT_TRUE(again.Start().ok());
  EXPECT_EQ(again.shard().status().min_version, 4u);
  absl::StatusOr<ExchangeAnswer> answer;
  const SharedBytes update = SharedBytes::Own(Gradient(0, 0, 7, 8));
  again.shard().Exchange(1, again.shard().view(), 0, {0, 7, 7, update}, [&](const auto& got) { answer = got; });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->replaces);
  EXPECT_LE(answer->version, 5u);
  ASSERT_TRUE(again.TrainUntil(kSteps).ok());
  EXPECT_EQ(again.shard().Checksum(), Calm({}).at(kSteps));
}

}  // namespace
}  // namespace cddp
