#include "worker/rounds/ratio_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cddp {
namespace {

// A worker on a link: what is pushed and what comes back travel while it computes, and it waits for the rest.
struct Link {
  double bits_per_second = 1e8;  // of an element's bits: the model has one million
  double latency = 0.001;
  double slowest = 0;  // what another worker adds to each round, whatever is sent
  double compute = 0.5;
  double noise = 0;

  double Wait(size_t level, std::mt19937& random) const {
    const double travel = latency + RatioLevels()[level].bits * 1e6 / bits_per_second;
    std::uniform_real_distribution<double> uniform(1 - noise, 1 + noise);
    return (std::max(0.0, travel - 0.6 * compute) + slowest) * uniform(random) + 0.001;
  }
  // The level with the most bits at which the worker waits for less than the most that is allowed.
  size_t Best() const {
    Link calm = *this;
    calm.noise = 0;
    std::mt19937 random(1);
    for (size_t level = 0; level < RatioLevels().size(); ++level) {
      const double wait = calm.Wait(level, random);
      if (wait / (compute + wait) <= RatioControl::kMostWaiting) return level;
    }
    return RatioLevels().size() - 1;
  }
};

struct Simulation {
  RatioControl control;
  std::mt19937 random{7};
  int changes = 0;
  double seconds = 0;

  void Rounds(const Link& link, int rounds) {
    for (int round = 0; round < rounds; ++round) {
      const double wait = link.Wait(control.level(), random);
      seconds += link.compute + wait;
      changes += control.NoteRound(link.compute, wait);
    }
  }
};

TEST(RatioControlTest, TheLevelsFallByHalfOrMore) {
  for (size_t level = 1; level < RatioLevels().size(); ++level) {
    EXPECT_LT(RatioLevels()[level].bits, 0.56 * RatioLevels()[level - 1].bits) << level;
  }
  EXPECT_EQ(RatioLevels().front().send.ratio, 1);
  EXPECT_EQ(RatioLevels().back().send.ratio, 0.001);
}

TEST(RatioControlTest, ComesToTheMostThatIsHiddenAndStaysThere) {
  for (const double rate : {1e4, 1e5, 3e5, 1e6, 3e6, 7e6, 2e7, 1e9}) {
    for (const double noise : {0.0, 0.2}) {
      Link link;
      link.bits_per_second = rate;
      link.noise = noise;
      Simulation run;
      run.Rounds(link, 200);
      // A level that was too much is tried now and then: look at where it mostly is.
      int at_best = 0;
      run.changes = 0;
      run.seconds = 0;
      for (int i = 0; i < 1000; ++i) {
        run.Rounds(link, 1);
        at_best += run.control.level() == link.Best();
      }
      EXPECT_GE(at_best, 900) << rate << " bit/s, noise " << noise;
      EXPECT_LE(run.changes, 30) << rate << " bit/s, noise " << noise;
      // What none of the levels would hide is not its fault.
      if (link.Best() + 1 < RatioLevels().size()) {
        EXPECT_GE(1000 * link.compute / run.seconds, 0.9) << rate;
      }
    }
  }
}

TEST(RatioControlTest, FollowsTheNetwork) {
  Link fast, slow;
  fast.bits_per_second = 1e9;
  slow.bits_per_second = 1e6;
  Simulation run;
  run.Rounds(fast, 200);
  EXPECT_EQ(run.control.level(), 0u);
  run.Rounds(slow, 60);
  EXPECT_EQ(run.control.level(), slow.Best());
  run.Rounds(fast, 2000);
  EXPECT_EQ(run.control.level(), 0u);
}

TEST(RatioControlTest, DoesNotSendLessBecauseAnotherWorkerIsSlow) {
  Link link;
  link.bits_per_second = 1e9;
  Simulation run;
  run.Rounds(link, 200);
  link.slowest = 0.4;
  int below = 0;
  for (int i = 0; i < 1000; ++i) {
    run.Rounds(link, 1);
    below += run.control.level() > 0;
  }
  EXPECT_LE(below, 60) << "it tries now and then";
}

TEST(RatioControlTest, AHiccupIsNoReason) {
  Link link;
  link.bits_per_second = 1e9;
  Simulation run;
  run.Rounds(link, 200);
  run.changes = 0;
  for (int i = 0; i < 100; ++i) {
    run.Rounds(link, 19);
    run.control.NoteRound(link.compute, 5);
  }
  EXPECT_EQ(run.changes, 0);
}

// With --local_steps=auto.
TEST(RatioControlTest, BesideStepsItStaysWithinItsLimits) {
  RatioControl control(RatioControl::kLowestBesideSteps);
  const RatioControl::Limits few{RatioControl::kLowestBesideSteps, /*may_go_up=*/true};
  const RatioControl::Limits some{RatioControl::kLowestBesideSteps, /*may_go_up=*/false};
  const RatioControl::Limits most{RatioControl::kLevels - 1, /*may_go_up=*/false};
  const auto rounds = [&](double bits_per_second, const RatioControl::Limits& limits) {
    for (int round = 0; round < 100; ++round) {
      control.NoteRound(0.5, RatioLevels()[control.level()].bits * 1e6 / bits_per_second, limits);
    }
    return control.level();
  };
  EXPECT_EQ(rounds(1e5, few), RatioControl::kLowestBesideSteps) << "steps are next";
  EXPECT_FALSE(control.CanGoDown(few));
  EXPECT_TRUE(control.CanGoDown(most));
  EXPECT_EQ(rounds(1e5, most), RatioControl::kLevels - 1);
  EXPECT_EQ(rounds(1e9, most), RatioControl::kLevels - 1) << "fewer steps come before more bytes";
  EXPECT_EQ(rounds(1e9, some), RatioControl::kLowestBesideSteps) << "but for what it had to give up last";
  EXPECT_EQ(rounds(1e9, few), 0u);
}

TEST(RatioControlTest, AnotherWindowForgetsTheRoundsBefore) {
  RatioControl control;
  for (int round = 0; round < 5; ++round) control.NoteRound(0.5, 10);
  control.StartWindow();
  for (int round = 0; round < 6; ++round) control.NoteRound(0.5, 0.03);
  EXPECT_EQ(control.level(), RatioControl::kFirstLevel);
}

}  // namespace
}  // namespace cddp
