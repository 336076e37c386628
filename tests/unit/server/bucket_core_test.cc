// The core as a function of its inputs: a journal must hold the inputs that change it, their replay makes the same
// state, and each call is answered once.

#include "server/bucket_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

constexpr uint32_t kWorkers = 3;
constexpr int kInputs = 120;

struct Case {
  const char* name;
  Consistency mode;
  uint32_t quorum;
  bool may_lose_versions;
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

BucketOptions OptionsOf(const Case& tested) {
  BucketOptions options = DenseOptions(kWorkers);
  options.consistency.mode = tested.mode;
  options.consistency.quorum = tested.quorum;
  options.consistency.max_staleness = 2;
  options.optimizer.lr.base = 0.1;
  options.optimizer.momentum = 0.9;
  options.may_lose_versions = tested.may_lose_versions;
  options.log_versions = 3;
  return options;
}

// An input whose contribution lives as long as it.
using Kept = std::variant<Contribution, Admit, Retire>;

BucketInput InputOf(const Kept& kept, CallNumber call) {
  if (const auto* admit = std::get_if<Admit>(&kept)) return *admit;
  if (const auto* retire = std::get_if<Retire>(&kept)) return *retire;
  const auto& contribution = std::get<Contribution>(kept);
  std::optional<CheckedUpdate> update;
  if (!contribution.update.empty()) update = *CheckedUpdate::Check(contribution.update.view(), kBucketLength);
  return Contribute{contribution, update, call};
}

std::string SavedStateOf(const BucketCore& core) {
  std::string state;
  core.Save(&state);
  return state;
}

// Inputs as workers, the network and the membership might send them: repeated, late, ahead, wrong.
class RandomInputs {
 public:
  explicit RandomInputs(uint32_t seed) : random_(seed) {}

  uint32_t Below(uint32_t end) { return std::uniform_int_distribution<uint32_t>(0, end - 1)(random_); }

  Kept Next(const BucketCore& core, Consistency mode) {
    const uint32_t rank = Below(kWorkers);
    if (const uint32_t kind = Below(20); kind < 2) {
      return kind == 0 ? Kept(Admit{rank}) : Kept(Retire{rank});
    }
    Contribution contribution;
    contribution.rank = Below(40) == 0 ? kWorkers : rank;  // one that there is not
    contribution.base_version = Around(core.version());
    contribution.step = mode == Consistency::kSync ? contribution.base_version : Around(steps_[rank]);
    steps_[rank] = std::max(steps_[rank], contribution.step + Below(2));
    if (Below(5) != 0) contribution.update = SharedBytes::Own(Dense(Values()));
    contribution.non_finite = Below(15) == 0;
    if (Below(3) == 0) contribution.weight = static_cast<float>(1 + Below(4));
    if (Below(30) == 0) contribution.weight = -1;
    if (Below(10) == 0) contribution.replica_crc32c = Below(1000);
    return contribution;
  }

 private:
  uint64_t Around(uint64_t value) {
    const uint32_t kind = Below(8);
    if (kind == 0) return value + 1;
    return kind <= 2 ? value - std::min<uint64_t>(value, 1 + Below(4)) : value;
  }
  std::vector<float> Values() {
    std::vector<float> values(kBucketLength);
    for (float& value : values) value = std::normal_distribution<float>()(random_);
    return values;
  }

  std::mt19937 random_;
  uint64_t steps_[kWorkers] = {};
};

class BucketCoreTest : public ::testing::TestWithParam<Case> {};

TEST_P(BucketCoreTest, WhatChangesItIsAllThatAReplayNeeds) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    const BucketOptions options = OptionsOf(GetParam());
    const auto core = *BucketCore::Create(kBucketLength, options);
    RandomInputs inputs(seed);
    std::vector<Kept> journal;
    std::set<CallNumber> waiting;
    std::string saved;
    size_t saved_at = 0;
    const auto take_answers = [&](const BucketEffects& effects) {
      for (const auto& answer : effects.answers) EXPECT_EQ(waiting.erase(answer.call), 1U) << "answered twice";
    };
    for (CallNumber call = 1; call <= kInputs; ++call) {
      const Kept kept = inputs.Next(*core, GetParam().mode);
      const BucketInput input = InputOf(kept, call);
      if (std::holds_alternative<Contribution>(kept)) waiting.insert(call);
      const bool changes = core->Changes(input);
      const std::string before = SavedStateOf(*core);
      take_answers(core->Apply(input));
      if (changes) {
        journal.push_back(kept);
      } else {
        EXPECT_EQ(SavedStateOf(*core), before) << "changed by what the journal does not hold";
      }
      if (call == kInputs / 2) {
        saved = SavedStateOf(*core);
        saved_at = journal.size();
      }
    }
    EXPECT_GT(core->version(), 2U) << "the inputs do not tell much";

    const auto replayed = *BucketCore::Create(kBucketLength, options);
    for (const Kept& kept : journal) replayed->Apply(InputOf(kept, 0));
    EXPECT_EQ(SavedStateOf(*replayed), SavedStateOf(*core));

    const auto loaded = *BucketCore::Create(kBucketLength, options);
    ASSERT_TRUE(loaded->Load(saved).ok());
    for (size_t i = saved_at; i < journal.size(); ++i) loaded->Apply(InputOf(journal[i], 0));
    EXPECT_EQ(SavedStateOf(*loaded), SavedStateOf(*core));

    take_answers(core->End(absl::UnavailableError("ends")));
    EXPECT_TRUE(waiting.empty()) << waiting.size() << " calls are never answered";
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, BucketCoreTest,
                         ::testing::Values(Case{"sync", Consistency::kSync, 0, false},
                                           Case{"quorum", Consistency::kSync, 2, false},
                                           Case{"sync_may_lose", Consistency::kSync, 0, true},
                                           Case{"stale", Consistency::kStale, 0, false},
                                           Case{"async", Consistency::kAsync, 0, false}),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(BucketCoreEndTest, NothingIsCountedAfterTheEnd) {
  const auto core = *BucketCore::Create(kBucketLength, DenseOptions(1));
  core->End(absl::UnavailableError("ends"));
  const Kept contribution = Contribution{0, 0, 0, SharedBytes::Own(Dense(std::vector<float>(kBucketLength)))};
  const BucketInput input = InputOf(contribution, 1);
  EXPECT_FALSE(core->Changes(input));
  const BucketEffects effects = core->Apply(input);
  ASSERT_EQ(effects.answers.size(), 1U);
  EXPECT_TRUE(absl::IsUnavailable(effects.answers[0].answer.status()));
  EXPECT_EQ(core->version(), 0U);
}

}  // namespace
}  // namespace cddp
