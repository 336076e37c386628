#include "common/retry/retry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/clock/fake_clock.h"
#include "common/retry/retry_call.h"

namespace cddp {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

constexpr absl::Duration kPatience = absl::Seconds(5);

RetryOptions Options() {
  RetryOptions options;
  options.patience = kPatience;
  return options;
}

RetryOptions Unbounded() {
  RetryOptions options = Options();
  options.try_timeout = absl::InfiniteDuration();
  return options;
}

const absl::Status kLost = absl::UnavailableError("refused");
const absl::Status kBusy = absl::ResourceExhaustedError("full");

TEST(BackoffTest, GrowsToItsLimitAndTellsWorkersApart) {
  Backoff first(1);
  Backoff second(2);
  EXPECT_NE(first.Next(), second.Next());
  for (int i = 0; i < 20; ++i) first.Next();
  EXPECT_GE(first.Next(), absl::Seconds(1.5));
  EXPECT_LE(first.Next(), absl::Seconds(2.5));
  first.Reset();
  EXPECT_LE(first.Next(), absl::Milliseconds(63));
}

TEST(RetryTest, TheLastTryBeginsExactlyWhenThePatienceEnds) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    FakeClock clock;
    Retry retry(Options(), seed);
    const absl::Duration begin = clock.Now();
    absl::Duration last_try;
    const absl::Status status = RetryCall(clock, retry, [&](absl::Duration) {
      last_try = clock.Now();
      return kLost;
    });
    EXPECT_EQ(status, kLost);
    EXPECT_EQ(last_try - begin, kPatience) << seed;
    EXPECT_EQ(retry.FailingFor(clock.Now()), kPatience) << seed;
    EXPECT_EQ(retry.retries(), clock.sleeps().size());
  }
}

TEST(RetryTest, PausesGrowFromTwentiethsOfASecondToTwoSecondsWithJitter) {
  RetryOptions options;
  options.patience = absl::Minutes(10);
  FakeClock clock;
  Retry retry(options, 3);
  RetryCall(clock, retry, [](absl::Duration) { return kLost; }).IgnoreError();
  std::vector<absl::Duration> pauses = clock.sleeps();
  ASSERT_THAT(pauses, SizeIs(Ge(200)));
  pauses.pop_back();  // cut to what was left
  EXPECT_THAT(pauses[0], AllOf(Ge(absl::Milliseconds(37)), Le(absl::Milliseconds(63))));
  EXPECT_THAT(std::vector(pauses.begin() + 6, pauses.end()),
              Each(AllOf(Ge(absl::Seconds(1.5)), Le(absl::Seconds(2.5)))));
}

TEST(RetryTest, ATryThatHangsIsCutSoThatALastOneHasRoom) {
  FakeClock clock;
  Retry retry(Options(), 1);
  const absl::Duration begin = clock.Now();
  int tries = 0;
  RetryCall(clock, retry, [&](absl::Duration timeout) {
    ++tries;
    EXPECT_GE(timeout, Retry::kLastTry);
    clock.Advance(timeout);
    return absl::DeadlineExceededError("nothing came");
  }).IgnoreError();
  EXPECT_EQ(tries, 2);
  EXPECT_GE(clock.Now() - begin, kPatience);
  EXPECT_LE(clock.Now() - begin, kPatience + Retry::kLastTry);
}

TEST(RetryTest, NoTimeoutIsInfiniteUnlessTheCallWaitsForOthers) {
  RetryOptions options = Options();
  options.patience = absl::InfiniteDuration();
  EXPECT_EQ(Retry(options, 1).Begin(absl::Hours(1)), options.try_timeout);
  EXPECT_EQ(Retry(Unbounded(), 1).Begin(absl::Hours(1)), absl::InfiniteDuration());
}

TEST(RetryTest, APermanentErrorEndsAtOnce) {
  FakeClock clock;
  Retry retry(Options(), 1);
  const absl::Status refused = absl::InvalidArgumentError("another model");
  EXPECT_EQ(RetryCall(clock, retry, [&](absl::Duration) { return refused; }), refused);
  EXPECT_THAT(clock.sleeps(), SizeIs(0));
  EXPECT_EQ(retry.retries(), 0);
}

TEST(RetryTest, ProgressRenewsThePatienceAndTheBackoff) {
  FakeClock clock;
  Retry retry(Options(), 1);
  int parts = 0;  // of a stream that always breaks off after one
  RetryCall(clock, retry, [&](absl::Duration) {
    clock.Advance(absl::Seconds(4));
    if (++parts <= 20) retry.NoteProgress(clock.Now());
    return kLost;
  }).IgnoreError();
  EXPECT_GT(parts, 20);
  const std::vector<absl::Duration> first(clock.sleeps().begin(), clock.sleeps().begin() + 20);
  EXPECT_THAT(first, Each(Le(absl::Milliseconds(63))));
}

TEST(RetryTest, ProgressInTheTryThatFailsCountsFromThere) {
  Retry retry(Unbounded(), 1);
  const absl::Duration begin = absl::Hours(1);
  retry.Begin(begin);
  retry.NoteProgress(begin + absl::Seconds(50));
  ASSERT_TRUE(retry.NoteFailure(Failure::kLost, begin + absl::Seconds(51)).has_value());
  EXPECT_EQ(retry.FailingFor(begin + absl::Seconds(51)), absl::Seconds(1));
}

TEST(RetryTest, AHeartbeatDuringALongTryEndsAnOutage) {
  Retry retry(Unbounded(), 1);
  absl::Duration now = absl::Hours(1);
  for (int i = 0; i < 100; ++i) {  // each try waits for its round for a minute, and then the connection breaks
    retry.Begin(now);
    now += absl::Minutes(1);
    retry.NoteHeard(now - absl::Seconds(1));
    ASSERT_TRUE(retry.NoteFailure(Failure::kLost, now).has_value());
    EXPECT_EQ(retry.FailingFor(now), absl::Seconds(1));
  }
}

TEST(RetryTest, AHeartbeatDuringAShortTryDoesNot) {
  FakeClock clock;
  Retry retry(Unbounded(), 1);
  const absl::Duration begin = clock.Now();
  RetryCall(clock, retry, [&](absl::Duration) {
    clock.Advance(absl::Milliseconds(100));
    retry.NoteHeard(clock.Now());
    return kLost;
  }).IgnoreError();
  EXPECT_LE(clock.Now() - begin, kPatience + Retry::kLastTry);
}

TEST(RetryTest, AHeartbeatBeforeTheTryDoesNot) {
  Retry retry(Unbounded(), 1);
  absl::Duration now = absl::Hours(1);
  retry.NoteHeard(now);
  retry.Begin(now);
  now += absl::Minutes(1);
  ASSERT_TRUE(retry.NoteFailure(Failure::kLost, now).has_value()) << "that was no last try";
  EXPECT_EQ(retry.FailingFor(now), absl::Minutes(1));
  retry.Begin(now);
  EXPECT_FALSE(retry.NoteFailure(Failure::kLost, now).has_value());
}

TEST(RetryTest, AProcessThatStoodStillTriesOnceMore) {
  for (const bool in_try : {false, true}) {
    Retry retry(Options(), 1);
    absl::Duration now = absl::Hours(1);
    retry.Begin(now);
    ASSERT_TRUE(retry.NoteFailure(Failure::kLost, now).has_value());
    if (in_try) retry.Begin(now);
    now += absl::Hours(1);
    if (in_try) {
      const std::optional<absl::Duration> pause = retry.NoteFailure(Failure::kLost, now);
      ASSERT_TRUE(pause.has_value());
      EXPECT_EQ(*pause, absl::ZeroDuration());
    }
    EXPECT_EQ(retry.Begin(now), Retry::kLastTry);
    EXPECT_FALSE(retry.NoteFailure(Failure::kLost, now).has_value());
  }
}

TEST(RetryTest, ABusyServerEndsAnOutageAndHasAPatienceOfItsOwn) {
  FakeClock clock;
  Retry retry(Options(), 1);
  const absl::Duration begin = clock.Now();
  RetryCall(clock, retry, [](absl::Duration) { return kBusy; }).IgnoreError();
  EXPECT_EQ(clock.Now() - begin, 10 * kPatience);

  RetryOptions options = Options();
  options.busy_patience = absl::Seconds(7);
  Retry shorter(options, 1);
  const absl::Duration again = clock.Now();
  EXPECT_EQ(RetryCall(clock, shorter, [](absl::Duration) { return kBusy; }), kBusy);
  EXPECT_EQ(clock.Now() - again, absl::Seconds(7));
}

TEST(RetryTest, BusyAndLostByTurnsComeToAnEnd) {
  FakeClock clock;
  Retry retry(Options(), 1);
  const absl::Duration begin = clock.Now();
  int tries = 0;
  RetryCall(clock, retry, [&](absl::Duration) { return ++tries % 2 == 0 ? kBusy : kLost; }).IgnoreError();
  EXPECT_GE(clock.Now() - begin, 10 * kPatience);
  EXPECT_LE(clock.Now() - begin, 11 * kPatience);
}

TEST(RetryTest, AfterBusyAnOutageHasItsWholePatience) {
  FakeClock clock;
  Retry retry(Options(), 1);
  absl::Duration lost;
  RetryCall(clock, retry, [&](absl::Duration) {
    if (clock.Now() < absl::Hours(5) + 4 * kPatience) return kBusy;
    if (lost == absl::ZeroDuration()) lost = clock.Now();
    return kLost;
  }).IgnoreError();
  EXPECT_EQ(clock.Now() - lost, kPatience);
}

TEST(RetryTest, NoPatienceIsOneTry) {
  RetryOptions options;
  options.patience = absl::ZeroDuration();
  FakeClock clock;
  Retry retry(options, 1);
  int tries = 0;
  RetryCall(clock, retry, [&](absl::Duration) { return ++tries, kLost; }).IgnoreError();
  EXPECT_EQ(tries, 1);
}

TEST(RetryCallTest, EndsWithItsClock) {
  FakeClock clock;
  Retry retry(Options(), 1);
  const absl::Status status = RetryCall(clock, retry, [&](absl::Duration) { return clock.End(), kLost; });
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_THAT(status.message(), HasSubstr("refused"));
}

TEST(RetryCallTest, SucceedsAndTellsOfItsPauses) {
  FakeClock clock;
  Retry retry(Options(), 1);
  int tries = 0;
  std::vector<absl::Duration> told;
  EXPECT_TRUE(RetryCall(
                  clock, retry, [&](absl::Duration) { return ++tries < 3 ? kLost : absl::OkStatus(); },
                  [&](const absl::Status& failed, absl::Duration pause) {
                    EXPECT_EQ(failed, kLost);
                    told.push_back(pause);
                  })
                  .ok());
  EXPECT_EQ(told, clock.sleeps());
  EXPECT_THAT(told, SizeIs(2));
}

TEST(GaveUpTest, SaysForHowLongAndWhy) {
  EXPECT_THAT(GaveUp("a:1", absl::Milliseconds(5020), kLost).message(),
              HasSubstr("server a:1 was out of reach for 5s (refused)"));
  EXPECT_THAT(GaveUp("a:1", absl::Seconds(50), kBusy).message(), HasSubstr("server a:1 had no room for 50s: full"));
  EXPECT_EQ(GaveUp("a:1", absl::Seconds(1), absl::NotFoundError("what")), absl::NotFoundError("server a:1: what"));
}

}  // namespace
}  // namespace cddp
