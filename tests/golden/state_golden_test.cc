// A server's state folder: a segment of the journal, and a snapshot.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"
#include "common/codec/update_codec.h"
#include "server/bucket_state.h"
#include "server/journal/journal.h"
#include "server/journal/snapshot.h"
#include "server/shard_events.h"
#include "tests/golden/golden_file.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;

constexpr char kJournal[] = "journal-0";
constexpr char kSnapshot[] = "snapshot-7";

std::string Dense(std::vector<float> values) {
  std::string bytes;
  EncodeDense(absl::MakeSpan(values), ValueEncoding::kFp32, &bytes);
  return bytes;
}

class StateGoldenTest : public ::testing::Test {
 protected:
  StateGoldenTest() { std::filesystem::create_directories(folder_); }
  ~StateGoldenTest() override { std::filesystem::remove_all(folder_); }

  void Place(const std::string& name) {
    std::ofstream(absl::StrCat(folder_, "/", name), std::ios::binary) << ReadGolden(name);
  }

  const std::string folder_ = absl::StrCat(::testing::TempDir(), "/cddp_golden_", getpid());
};

TEST_F(StateGoldenTest, FilesAreOfThisFormat) { EXPECT_EQ(kJournalFormat, 7u) << "renew the state's golden files"; }

std::vector<ShardEvent> JournalEvents() {
  return {BeginEvent{"--workers=2", "a layout"},
          AgreementEvent{1, "--seed=42"},
          RunEvent{"a-run"},
          MemberEvent{1, 1600000000000001, MemberState::kLost, 12},
          AdmitEvent{3, 1},
          CountEvent{3, {1, 7, 6, SharedBytes::Own("an update"), false, std::nullopt, 24.5f}},
          CountEvent{2, {1, 9, 8, SharedBytes(), true}},
          RetireEvent{2, 1}};
}

TEST_F(StateGoldenTest, JournalIsWrittenAsBefore) {
  {
    auto journal = Journal::Open({folder_}, [](const SharedBytes&, uint64_t) -> absl::StatusOr<uint64_t> { return 0; });
    ASSERT_TRUE(journal.ok()) << journal.status();
    for (const ShardEvent& event : JournalEvents()) {
      const uint64_t position = AppendTo(**journal, event);
      ASSERT_TRUE((*journal)->Wait(position).ok());  // a frame for each
    }
  }
  ExpectGolden(kJournal, ReadWhole(absl::StrCat(folder_, "/", kJournal)));
}

TEST_F(StateGoldenTest, JournalIsReadAsBefore) {
  Place(kJournal);
  std::vector<ShardEvent> events;
  const auto replay = [&events](SharedBytes bytes, uint64_t position) -> absl::StatusOr<uint64_t> {
    EXPECT_EQ(position, events.size() + 1);
    const size_t before = events.size();
    while (!bytes.empty()) {
      if (absl::Status status = TakeEvent(&bytes, &events.emplace_back()); !status.ok()) return status;
    }
    return events.size() - before;
  };
  const auto journal = Journal::Open({folder_}, replay);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ((*journal)->segment().segment, 0u);
  ASSERT_EQ(events.size(), 8u);
  EXPECT_EQ(std::get<BeginEvent>(events[0]).options, "--workers=2");
  EXPECT_EQ(std::get<BeginEvent>(events[0]).layout, "a layout");
  EXPECT_EQ(std::get<AgreementEvent>(events[1]).rank, 1u);
  EXPECT_EQ(std::get<AgreementEvent>(events[1]).settings, "--seed=42");
  EXPECT_EQ(std::get<RunEvent>(events[2]).name, "a-run");
  const auto& member = std::get<MemberEvent>(events[3]);
  EXPECT_EQ(member.rank, 1u);
  EXPECT_EQ(member.incarnation, 1600000000000001u);
  EXPECT_EQ(member.state, MemberState::kLost);
  EXPECT_EQ(member.view, 12u);
  EXPECT_EQ(std::get<AdmitEvent>(events[4]).bucket, 3u);
  EXPECT_EQ(std::get<AdmitEvent>(events[4]).rank, 1u);
  const auto& count = std::get<CountEvent>(events[5]);
  EXPECT_EQ(count.bucket, 3u);
  EXPECT_EQ(count.contribution.rank, 1u);
  EXPECT_EQ(count.contribution.step, 7u);
  EXPECT_EQ(count.contribution.base_version, 6u);
  EXPECT_FALSE(count.contribution.non_finite);
  EXPECT_EQ(count.contribution.weight, 24.5f);
  EXPECT_EQ(count.contribution.update.view(), "an update");
  const auto& mark = std::get<CountEvent>(events[6]);
  EXPECT_EQ(mark.contribution.step, 9u);
  EXPECT_EQ(mark.contribution.base_version, 8u);
  EXPECT_TRUE(mark.contribution.non_finite);
  EXPECT_EQ(mark.contribution.weight, std::nullopt);
  EXPECT_TRUE(mark.contribution.update.empty());
  EXPECT_EQ(std::get<RetireEvent>(events[7]).bucket, 2u);
  EXPECT_EQ(std::get<RetireEvent>(events[7]).rank, 1u);
}

// Powers of two and small integers alone: no rounding depends on the processor.
std::unique_ptr<BucketState> NewBucket() {
  BucketOptions options;
  options.worker_count = 4;
  options.consistency.quorum = 2;
  options.optimizer.lr.base = 0.5;
  options.optimizer.momentum = 0.5;
  options.publish.ratio = 0.5;
  options.publish.value_encoding = ValueEncoding::kFp32;
  options.log_versions = 2;
  return *BucketState::Create(4, options);
}

// Two rounds with a quorum, the second of which is refused; a late contribution of a worker that left a step out; a
// worker that is gone; and a contribution to a round that is open.
std::unique_ptr<BucketState> SampleBucket() {
  std::unique_ptr<BucketState> bucket = NewBucket();
  const auto push = [&bucket](uint32_t rank, uint64_t step, const std::string& update, bool non_finite = false,
                              std::optional<float> weight = std::nullopt) {
    bucket->Exchange({rank, step, step, SharedBytes::Own(update), non_finite, std::nullopt, weight},
                     [](const absl::StatusOr<ExchangeAnswer>& answer) { EXPECT_TRUE(answer.ok()) << answer.status(); });
  };
  push(0, 0, Dense({1, 2, 3, 4}));
  for (uint32_t rank = 1; rank < 4; ++rank) push(rank, 0, "");
  push(0, 1, Dense({1, 0, 2, 8}), false, 4);
  push(1, 1, Dense({3, -2, 0, 4}), false, 4);
  push(0, 2, Dense({1, 1, 1, 1}), false, 4);
  push(1, 2, "", true);
  push(2, 2, Dense({16, 0, 0, -16}), false, 8);
  push(0, 3, Dense({2, 4, 6, 8}), false, 2);
  bucket->Retire(3);
  return bucket;
}

// A bucket's state, field by field (docs/formats.md).
struct Slot {
  bool active;
  uint64_t next_step;
  std::vector<std::pair<uint64_t, uint64_t>> gaps;
  std::vector<uint64_t> late;
  uint64_t clock;
  bool last_refused;
  float usual_weight, weight;
  bool contributed, non_finite;
  std::string update;
  bool operator==(const Slot&) const = default;
};

std::vector<float> TakeFloats(ByteReader& from, size_t count) {
  std::vector<float> floats(count);
  from.GetFloats(absl::MakeSpan(floats));
  return floats;
}

Slot TakeSlot(ByteReader& from) {
  Slot slot;
  slot.active = from.Get<uint8_t>() == 1;
  slot.next_step = from.Get<uint64_t>();
  slot.gaps.resize(from.Get<uint32_t>());
  for (auto& [begin, end] : slot.gaps) {
    begin = from.Get<uint64_t>();
    end = from.Get<uint64_t>();
  }
  slot.late.resize(from.Get<uint32_t>());
  for (uint64_t& step : slot.late) step = from.Get<uint64_t>();
  slot.clock = from.Get<uint64_t>();
  slot.last_refused = from.Get<uint8_t>() == 1;
  slot.usual_weight = from.Get<float>();
  slot.weight = from.Get<float>();
  slot.contributed = from.Get<uint8_t>() == 1;
  slot.non_finite = from.Get<uint8_t>() == 1;
  slot.update = std::string(from.GetBytes());
  return slot;
}

// Rank 0 and 1 have weight 4 of 16 each in round 1: the mean is {1, -0.5, 0.5, 3}, and half of the elements are
// published.
void ExpectSampleState(absl::string_view state) {
  ByteReader from(state);
  EXPECT_EQ(from.Get<uint64_t>(), 3u) << "version";
  EXPECT_THAT(TakeFloats(from, 4), ElementsAre(0.5f, 2, 3, 2.5f)) << "published";
  EXPECT_THAT(TakeFloats(from, 4), ElementsAre(0, 0.25f, -0.25f, 0)) << "residual";
  EXPECT_EQ(from.Get<uint64_t>(), 1u) << "steps of the optimizer";
  EXPECT_THAT(TakeFloats(from, 4), ElementsAre(1, -0.5f, 0.5f, 3)) << "momentum";
  EXPECT_THAT(TakeFloats(from, 4), ElementsAre(128, 0, 0, -128)) << "late, times its weight";
  ASSERT_EQ(from.Get<uint32_t>(), 2u) << "updates in the log";
  const absl::StatusOr<DecodedUpdate> update = DecodeUpdate(from.GetBytes(), 4);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_THAT(update->indices, ElementsAre(0, 3));
  EXPECT_THAT(update->values, ElementsAre(-0.5f, -1.5f));
  EXPECT_EQ(from.GetBytes(), "") << "the refused round";
  ASSERT_EQ(from.Get<uint32_t>(), 4u) << "workers";
  EXPECT_EQ(TakeSlot(from), (Slot{true, 4, {}, {}, 4, true, 2, 2, true, false, Dense({2, 4, 6, 8})}));
  EXPECT_EQ(TakeSlot(from), (Slot{true, 3, {}, {}, 3, true, 4, 0, false, true, ""}));
  EXPECT_EQ(TakeSlot(from), (Slot{true, 3, {{1, 2}}, {2}, 2, false, 8, 0, false, false, ""}));
  EXPECT_EQ(TakeSlot(from), (Slot{false, 1, {}, {}, 1, false, 0, 0, false, false, ""}));
  EXPECT_TRUE(from.ok());
  EXPECT_EQ(from.left(), "");
}

TEST_F(StateGoldenTest, SnapshotIsWrittenAsBefore) {
  std::string state;
  uint64_t position = 0;
  ASSERT_TRUE(SampleBucket()->Save(&state, &position).ok());
  SegmentHead segment;
  segment.segment = 7;
  segment.position = 1000;
  segment.restored = 5;
  auto writer = SnapshotWriter::Create(&PosixFiles(), folder_, kSnapshot, segment);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (const ShardEvent& event : {ShardEvent(BeginEvent{"--workers=4", "a layout"}), ShardEvent(RunEvent{"a-run"}),
                                  ShardEvent(AgreementEvent{2, "--seed=42"}), ShardEvent(BucketEvent{6, 1001, state}),
                                  ShardEvent(MemberEvent{3, 77, MemberState::kLeft, 8})}) {
    ASSERT_TRUE(AddTo(**writer, event).ok());
  }
  ASSERT_TRUE((*writer)->Commit().ok());
  ExpectGolden(kSnapshot, ReadWhole(absl::StrCat(folder_, "/", kSnapshot)));
}

TEST_F(StateGoldenTest, SnapshotIsReadAsBefore) {
  Place(kSnapshot);
  auto reader = SnapshotReader::Open(PosixFiles(), folder_, kSnapshot);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->segment().segment, 7u);
  EXPECT_EQ((*reader)->segment().position, 1000u);
  EXPECT_EQ((*reader)->segment().restored, 5u);
  std::vector<SharedBytes> frames;  // which the events refer to
  std::vector<ShardEvent> events;
  while (true) {
    const absl::StatusOr<bool> more = (*reader)->Next(&frames.emplace_back());
    ASSERT_TRUE(more.ok()) << more.status();
    if (!*more) break;
    SharedBytes left = frames.back();
    ASSERT_TRUE(TakeEvent(&left, &events.emplace_back()).ok());
    EXPECT_TRUE(left.empty());
  }
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(std::get<BeginEvent>(events[0]).options, "--workers=4");
  EXPECT_EQ(std::get<RunEvent>(events[1]).name, "a-run");
  EXPECT_EQ(std::get<AgreementEvent>(events[2]).settings, "--seed=42");
  const auto& saved = std::get<BucketEvent>(events[3]);
  EXPECT_EQ(saved.bucket, 6u);
  EXPECT_EQ(saved.position, 1001u);
  ExpectSampleState(saved.state);
  EXPECT_EQ(std::get<MemberEvent>(events[4]).state, MemberState::kLeft);

  const std::unique_ptr<BucketState> bucket = NewBucket();
  ASSERT_TRUE(bucket->Load(saved.state).ok());
  std::string again;
  uint64_t position = 0;
  ASSERT_TRUE(bucket->Save(&again, &position).ok());
  EXPECT_EQ(again, saved.state);
}

}  // namespace
}  // namespace cddp
