#include "worker/exchange/step_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kBuckets = 6;

ParameterLayout Layout() { return *ParameterLayout::Create({{"w", {64 * kBuckets}}}, 64); }

StepRules Rules() {
  StepRules rules;
  rules.server_of.assign(kBuckets, 0);
  return rules;
}

EncodedBucket Update(uint32_t bucket, size_t bytes = 10) {
  EncodedBucket encoded;
  encoded.update = SharedBytes::Own(std::string(bytes, static_cast<char>('a' + bucket)));
  encoded.selected = 1;
  return encoded;
}

EncodedBucket NotFinite() {
  EncodedBucket encoded;
  encoded.finite = false;
  return encoded;
}

PushReply Reply(uint64_t version) {
  PushReply reply;
  reply.version = version;
  return reply;
}

// Actions as short texts: "begin 1", "encode 5", "push 5 4", "push 5! 4!" (marks), "take back 3", "apply 2".
std::vector<std::string> Names(const std::vector<StepAction>& actions) {
  struct Name {
    std::string operator()(const BeginGradients& begin) const { return "begin " + std::to_string(begin.step); }
    std::string operator()(const EncodeBucket& encode) const { return "encode " + std::to_string(encode.bucket); }
    std::string operator()(const PushBuckets& push) const {
      std::string name = "push";
      for (const Push& one : push.pushes)
        name.append(" ").append(std::to_string(one.bucket)).append(one.non_finite ? "!" : "");
      return name;
    }
    std::string operator()(const TakeBackUpdate& back) const { return "take back " + std::to_string(back.bucket); }
    std::string operator()(const ApplyReply& apply) const { return "apply " + std::to_string(apply.bucket); }
  };
  std::vector<std::string> names;
  for (const StepAction& action : actions) names.push_back(std::visit(Name(), action));
  return names;
}

// First element of a bucket.
uint64_t At(uint32_t bucket) { return 64 * bucket; }

class StepDriverTest : public ::testing::Test {
 protected:
  static StepDriver Driver(const StepRules& rules) {
    StepDriver driver(Layout(), rules);
    driver.set_step(1);
    for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) driver.set_version(bucket, 1);
    driver.Begin(/*refuse=*/false);
    return driver;
  }
};

TEST_F(StepDriverTest, EncodesWhatIsReadyLastFirstOneAtATime) {
  StepDriver driver = Driver(Rules());
  EXPECT_THAT(Names(driver.Ready(At(4) + 1)), ElementsAre("begin 1", "encode 5"));
  EXPECT_THAT(Names(driver.Encoded(5, Update(5))), ElementsAre("push 5")) << "the next is not ready: none waits for it";
  EXPECT_THAT(Names(driver.Ready(At(2))), ElementsAre("encode 4"));
  EXPECT_THAT(Names(driver.Encoded(4, Update(4))), ElementsAre("encode 3"));
  EXPECT_THAT(Names(driver.Encoded(3, Update(3))), ElementsAre("encode 2"));
  EXPECT_THAT(Names(driver.Encoded(2, Update(2))), ElementsAre("push 4 3 2")) << "ready together, in one call";
  EXPECT_FALSE(driver.done());
}

TEST_F(StepDriverTest, ClippingNeedsTheWholeGradientBeforeTheFirstPush) {
  StepRules rules = Rules();
  rules.needs_whole_gradient = true;
  StepDriver driver = Driver(rules);
  EXPECT_THAT(Names(driver.Ready(At(1))), IsEmpty());
  EXPECT_THAT(Names(driver.Ready(0)), ElementsAre("begin 1", "encode 5"));
}

TEST_F(StepDriverTest, ACallHasOneServerAndABoundedSize) {
  StepRules rules = Rules();
  rules.server_of = {0, 0, 0, 1, 1, 1};
  rules.most_encodings = kBuckets;
  StepDriver driver = Driver(rules);
  driver.Ready(0);
  for (uint32_t bucket : {3, 2, 1, 4})
    EXPECT_THAT(driver.Encoded(bucket, Update(bucket, kLeastCallBytes / 2)), IsEmpty());
  EXPECT_THAT(Names(driver.Encoded(5, Update(5))), ElementsAre("push 5 4", "push 3"));
  EXPECT_THAT(Names(driver.Encoded(0, Update(0))), ElementsAre("push 2 1", "push 0"));
}

TEST_F(StepDriverTest, PushesDescendInWhateverOrderEncodingsComplete) {
  StepRules rules = Rules();
  rules.most_encodings = 3;
  StepDriver driver = Driver(rules);
  EXPECT_THAT(Names(driver.Ready(0)), ElementsAre("begin 1", "encode 5", "encode 4", "encode 3"));
  EXPECT_THAT(Names(driver.Encoded(3, Update(3))), ElementsAre("encode 2"));
  EXPECT_THAT(Names(driver.Encoded(2, Update(2))), ElementsAre("encode 1"));
  EXPECT_THAT(Names(driver.Encoded(5, Update(5))), ElementsAre("encode 0"));
  EXPECT_THAT(Names(driver.Encoded(1, Update(1))), IsEmpty());
  EXPECT_THAT(Names(driver.Encoded(0, Update(0))), IsEmpty());
  EXPECT_THAT(Names(driver.Encoded(4, Update(4))), ElementsAre("push 5 4 3 2 1 0"));
}

TEST_F(StepDriverTest, ANonFiniteBucketAndAllAfterItAreMarksAndWhatWasEncodedIsTakenBack) {
  StepRules rules = Rules();
  rules.most_encodings = 4;
  StepDriver driver = Driver(rules);
  EXPECT_THAT(Names(driver.Ready(At(1))), ElementsAre("begin 1", "encode 5", "encode 4", "encode 3", "encode 2"));
  EXPECT_THAT(Names(driver.Encoded(3, Update(3))), ElementsAre("encode 1"));
  EXPECT_THAT(Names(driver.Encoded(4, NotFinite())), IsEmpty());
  EXPECT_THAT(Names(driver.Encoded(5, Update(5))), ElementsAre("take back 3"))
      << "5 counts, 4 and 3 are marks; 2 is still being encoded";
  EXPECT_THAT(Names(driver.Encoded(1, Update(1))), IsEmpty());
  EXPECT_THAT(Names(driver.Encoded(2, Update(2))), ElementsAre("take back 2", "take back 1", "push 5 4! 3! 2! 1!"));
  EXPECT_THAT(Names(driver.Ready(0)), ElementsAre("encode 0"));
  EXPECT_THAT(Names(driver.Encoded(0, Update(0))), ElementsAre("take back 0", "push 0!"));
  EXPECT_EQ(driver.counts().selected, 1u);
}

TEST_F(StepDriverTest, ARefusedStepPushesMarksAloneAndNotBeforeTheyAreReady) {
  StepDriver driver(Layout(), Rules());
  driver.set_step(1);
  driver.Begin(/*refuse=*/true);
  EXPECT_THAT(Names(driver.Ready(At(4))), ElementsAre("push 5! 4!"));
  EXPECT_THAT(Names(driver.Ready(0)), ElementsAre("push 3! 2! 1! 0!"));
}

// Pushes all buckets of a driver of one encoding at a time.
std::vector<Push> PushAll(StepDriver* driver) {
  std::vector<Push> pushed;
  std::deque<StepAction> actions;
  const auto add = [&](std::vector<StepAction> more) {
    for (StepAction& action : more) actions.push_back(std::move(action));
  };
  for (add(driver->Ready(0)); !actions.empty();) {
    StepAction action = std::move(actions.front());
    actions.pop_front();
    if (const auto* encode = std::get_if<EncodeBucket>(&action))
      add(driver->Encoded(encode->bucket, Update(encode->bucket)));
    if (auto* push = std::get_if<PushBuckets>(&action)) {
      for (Push& one : push->pushes) pushed.push_back(std::move(one));
    }
  }
  return pushed;
}

TEST_F(StepDriverTest, WithoutAContributionItPushesNoElementsWithTheLeastWeight) {
  StepDriver driver = Driver(Rules());
  driver.Begin(/*refuse=*/false, /*weight=*/0.0f);
  const std::vector<StepAction> actions = driver.Ready(0);
  ASSERT_THAT(Names(actions), ElementsAre("push 5 4 3 2 1 0"));
  for (const Push& push : std::get<PushBuckets>(actions.front()).pushes) {
    EXPECT_TRUE(push.update.empty());
    EXPECT_EQ(push.weight, kLeastWeight);
    EXPECT_FALSE(push.non_finite);
  }
  EXPECT_EQ(driver.counts().pushed_bytes, 0u);
}

TEST_F(StepDriverTest, AStepIsDoneWhenEveryReplyIsApplied) {
  StepDriver driver = Driver(Rules());
  for (const Push& push : PushAll(&driver)) {
    EXPECT_EQ(push.step, 1u);
    EXPECT_EQ(push.base_version, 1u);
  }
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
    EXPECT_THAT(Names(driver.Answered(bucket, Reply(2))), ElementsAre("apply " + std::to_string(bucket)));
    EXPECT_FALSE(driver.done());
    EXPECT_THAT(driver.Applied(bucket, absl::OkStatus()), IsEmpty());
  }
  EXPECT_TRUE(driver.done());
  EXPECT_EQ(driver.End(), 0u);
  EXPECT_EQ(driver.step(), 2u);
}

TEST_F(StepDriverTest, TheUpdateGoesBackWithItsReply) {
  StepDriver driver = Driver(Rules());
  PushAll(&driver);
  const std::vector<StepAction> actions = driver.Answered(4, Reply(2));
  EXPECT_EQ(std::get<ApplyReply>(actions.at(0)).pushed.view(), std::string(10, 'e'));
}

TEST_F(StepDriverTest, RepeatedAnswersChangeNothing) {
  StepDriver driver = Driver(Rules());
  PushAll(&driver);
  EXPECT_THAT(driver.Answered(3, Reply(1)), IsEmpty()) << "of the step before";
  EXPECT_THAT(Names(driver.Answered(3, Reply(2))), ElementsAre("apply 3"));
  EXPECT_THAT(driver.Answered(3, Reply(2)), IsEmpty());
  PushReply back = Reply(1);
  back.replaces = true;
  EXPECT_THAT(Names(driver.Answered(2, back)), ElementsAre("apply 2")) << "a server that lost versions goes back";
}

TEST_F(StepDriverTest, AfterAnErrorNothingMoreIsPushedAndWhatIsOwedIsTakenBack) {
  StepRules rules = Rules();
  rules.most_encodings = 3;
  StepDriver driver = Driver(rules);
  driver.Ready(At(2));
  EXPECT_THAT(Names(driver.Encoded(5, Update(5))), ElementsAre("encode 2"));
  EXPECT_THAT(Names(driver.Encoded(4, Update(4))), IsEmpty());
  EXPECT_THAT(Names(driver.Encoded(2, Update(2))), IsEmpty());
  EXPECT_THAT(Names(driver.Encoded(3, Update(3))), ElementsAre("push 5 4 3 2"));
  EXPECT_THAT(Names(driver.Ready(0)), ElementsAre("encode 1", "encode 0"));
  EXPECT_THAT(Names(driver.Encoded(0, Update(0))), IsEmpty());
  EXPECT_THAT(Names(driver.Answered(5, absl::UnavailableError("gone"))), ElementsAre("take back 0"));
  EXPECT_THAT(Names(driver.Encoded(1, Update(1))), ElementsAre("take back 1"));
  for (uint32_t bucket : {4, 3}) driver.Answered(bucket, absl::InternalError("later"));
  EXPECT_THAT(Names(driver.Answered(2, Reply(2))), ElementsAre("apply 2"));
  EXPECT_FALSE(driver.done());
  driver.Applied(2, absl::OkStatus());
  EXPECT_TRUE(driver.done());
  EXPECT_EQ(driver.status(), absl::UnavailableError("gone")) << "the first error";
}

TEST_F(StepDriverTest, TheStepRunsAheadWhereRoundsClosedWithoutThisWorker) {
  StepDriver driver = Driver(Rules());
  PushAll(&driver);
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
    driver.Answered(bucket, Reply(bucket == 3 ? 9 : 8));
    driver.Applied(bucket, absl::OkStatus());
  }
  EXPECT_EQ(driver.End(), 7u);
  EXPECT_EQ(driver.step(), 9u);
  const std::vector<Push> pushes = RollForward(driver.versions());
  std::vector<uint32_t> buckets;
  for (const Push& push : pushes) {
    buckets.push_back(push.bucket);
    EXPECT_EQ(push.step, 8u);
    EXPECT_EQ(push.base_version, 8u);
    EXPECT_TRUE(push.update.empty());
    EXPECT_FALSE(push.non_finite);
  }
  EXPECT_THAT(buckets, ElementsAre(5, 4, 2, 1, 0));
}

TEST_F(StepDriverTest, WithoutRoundsStepsAreTheWorkersOwn) {
  StepRules rules = Rules();
  rules.is_sync = false;
  StepDriver driver(Layout(), rules);
  driver.set_step(7);
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) driver.set_version(bucket, 20 + bucket);
  driver.Begin(/*refuse=*/false);
  for (const Push& push : PushAll(&driver)) {
    EXPECT_EQ(push.step, 7u);
    EXPECT_EQ(push.base_version, 20 + push.bucket);
  }
}

TEST_F(StepDriverTest, ChecksumsAreAskedForAtTheProtocolsVersions) {
  StepRules rules = Rules();
  rules.most_encodings = kBuckets;
  StepDriver driver(Layout(), rules);
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) driver.set_version(bucket, kReplicaCheckPeriod - 2);
  driver.Begin(/*refuse=*/false);
  for (const StepAction& action : driver.Ready(0)) {
    if (const auto* encode = std::get_if<EncodeBucket>(&action)) {
      EXPECT_EQ(encode->with_checksum, encode->bucket == 2);
    }
  }
  EncodedBucket checked = Update(5);
  checked.replica_crc32c = 77;
  for (uint32_t bucket = 0; bucket < 5; ++bucket) driver.Encoded(bucket, Update(bucket));
  const std::vector<StepAction> actions = driver.Encoded(5, checked);
  EXPECT_EQ(std::get<PushBuckets>(actions.at(0)).pushes.at(0).replica_crc32c, 77u);
}

// Drives whole steps with events in random order: every bucket is pushed once, in descending order, and every update is
// either answered or taken back, with and without gradients that are not finite and calls that fail.
TEST_F(StepDriverTest, RandomSchedulesKeepTheRules) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    StepRules rules = Rules();
    rules.most_encodings = 1 + random() % kBuckets;
    rules.needs_whole_gradient = random() % 4 == 0;
    for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) rules.server_of[bucket] = bucket * 2 / kBuckets;
    const uint32_t bad = random() % (3 * kBuckets);  // bucket whose gradient is not finite, or none
    const uint32_t failing = random() % (5 * kBuckets);
    StepDriver driver = Driver(rules);

    std::vector<uint32_t> encoding, under_way, applying;
    std::vector<uint32_t> pushed;
    std::multiset<uint32_t> owed;  // encoded, and not yet answered or taken back
    uint64_t ready = At(kBuckets);
    const auto perform = [&](std::vector<StepAction> actions) {
      for (StepAction& action : actions) {
        if (const auto* encode = std::get_if<EncodeBucket>(&action)) {
          ASSERT_GE(At(encode->bucket), rules.needs_whole_gradient ? 0 : ready);
          encoding.push_back(encode->bucket);
        } else if (const auto* push = std::get_if<PushBuckets>(&action)) {
          for (const Push& one : push->pushes) {
            ASSERT_EQ(rules.server_of[one.bucket], rules.server_of[push->pushes[0].bucket]);
            ASSERT_EQ(one.non_finite, bad < kBuckets && one.bucket <= bad) << "seed " << seed;
            ASSERT_EQ(one.update.empty(), one.non_finite);
            pushed.push_back(one.bucket);
            under_way.push_back(one.bucket);
          }
        } else if (const auto* back = std::get_if<TakeBackUpdate>(&action)) {
          ASSERT_EQ(owed.erase(back->bucket), 1u) << "seed " << seed;
        } else if (const auto* apply = std::get_if<ApplyReply>(&action)) {
          if (!apply->pushed.empty()) {
            ASSERT_EQ(owed.erase(apply->bucket), 1u) << "seed " << seed;
          }
          applying.push_back(apply->bucket);
        }
      }
      ASSERT_LE(encoding.size(), rules.most_encodings);
    };
    const auto take = [&](std::vector<uint32_t>* from) {
      std::swap((*from)[random() % from->size()], from->back());
      const uint32_t taken = from->back();
      from->pop_back();
      return taken;
    };
    std::set<uint32_t> lost;  // pushed in calls that failed: nobody knows whether they count
    for (int events = 0; !driver.done() && !HasFatalFailure(); ++events) {
      ASSERT_LT(events, 1000) << "seed " << seed << " does not end";
      const uint32_t kind = random() % 4;
      if (kind == 0 && ready > 0) {
        ready -= std::min<uint64_t>(ready, random() % 200);
        perform(driver.Ready(ready));
      } else if (kind == 1 && !encoding.empty()) {
        const uint32_t bucket = take(&encoding);
        if (bucket != bad) owed.insert(bucket);
        perform(driver.Encoded(bucket, bucket == bad ? NotFinite() : Update(bucket)));
      } else if (kind == 2 && !under_way.empty()) {
        const uint32_t bucket = take(&under_way);
        if (bucket == failing) {
          lost.insert(bucket);
          perform(driver.Answered(bucket, absl::UnavailableError("gone")));
        } else {
          perform(driver.Answered(bucket, Reply(2)));
          if (random() % 4 == 0) {
            EXPECT_THAT(driver.Answered(bucket, Reply(2)), IsEmpty());
          }
        }
      } else if (kind == 3 && !applying.empty()) {
        perform(driver.Applied(take(&applying), absl::OkStatus()));
      }
    }
    if (HasFatalFailure()) return;
    EXPECT_TRUE(std::is_sorted(pushed.rbegin(), pushed.rend())) << "seed " << seed;
    EXPECT_EQ(std::set<uint32_t>(pushed.begin(), pushed.end()).size(), pushed.size()) << "seed " << seed;
    for (uint32_t bucket : lost) owed.erase(bucket);
    EXPECT_THAT(owed, IsEmpty()) << "seed " << seed;
    if (lost.empty()) {
      EXPECT_EQ(pushed.size(), kBuckets) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace cddp
