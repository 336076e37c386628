#include "worker/rounds/steps_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cddp {
namespace {

// Rounds of a worker whose wish alone decides.
struct Simulation {
  StepsControl control{kFewestLocalSteps};
  uint32_t steps = kFewestLocalSteps;
  std::mt19937 random{7};
  int changes = 0;

  // An exchange makes it wait so long, but for what `hidden` steps beside it hide; a slower worker needs `slower` more
  // for each step.
  struct Network {
    double wait = 0;
    double step = 0.1;
    double slower = 0;
    bool hides = false;
    double noise = 0;
  };

  void Rounds(const Network& network, int rounds, bool can_send_less = false) {
    for (int round = 0; round < rounds; ++round) {
      std::uniform_real_distribution<double> noise(1 - network.noise, 1 + network.noise);
      const double compute = network.step * steps * noise(random);
      const double wait = std::max(0.0, network.wait - (network.hides ? compute : 0)) + network.slower * steps;
      control.NoteRound(steps, compute, wait * noise(random), can_send_less);
      changes += steps != control.wish();
      steps = control.wish();
    }
  }
};

TEST(StepsControlTest, ComesToTheFewestThatMakeTheWaitASmallPartAndStaysThere) {
  for (const auto& [wait, expected] :
       {std::pair{0.0, 4u}, {0.03, 4u}, {0.05, 8u}, {0.1, 16u}, {0.2, 32u}, {9.0, 32u}}) {
    for (const double noise : {0.0, 0.1}) {
      Simulation run;
      run.Rounds({.wait = wait, .noise = noise}, 60);
      EXPECT_EQ(run.steps, expected) << wait << " s, noise " << noise;
      run.changes = 0;
      run.Rounds({.wait = wait, .noise = noise}, 500);
      EXPECT_EQ(run.steps, expected) << wait << " s, noise " << noise;
      EXPECT_EQ(run.changes, 0) << wait << " s, noise " << noise;
    }
  }
}

TEST(StepsControlTest, FollowsANetworkThatChanges) {
  Simulation run;
  run.Rounds({.wait = 0.2}, 60);
  EXPECT_EQ(run.steps, 32u);
  run.Rounds({.wait = 0.01}, 100);
  EXPECT_EQ(run.steps, 4u);
  run.Rounds({.wait = 0.1}, 60);
  EXPECT_EQ(run.steps, 16u);
}

// What is hidden behind more steps cannot be seen from there: it is tried, seldom.
TEST(StepsControlTest, WhereStepsHideTheExchangeFewerAreTriedMoreAndMoreSeldom) {
  Simulation run;
  run.Rounds({.wait = 0.7, .hides = true}, 1000);
  run.changes = 0;
  int at_eight = 0;
  for (int i = 0; i < 1000; ++i) {
    run.Rounds({.wait = 0.7, .hides = true}, 1);
    at_eight += run.steps == 8;
  }
  EXPECT_GE(at_eight, 950);
  EXPECT_LE(run.changes, 8);
}

TEST(StepsControlTest, ASlowerWorkerIsNoReasonForMoreSteps) {
  Simulation run;
  run.Rounds({.slower = 0.03}, 2000);
  int at_first = 0;
  for (int i = 0; i < 1000; ++i) {
    run.Rounds({.slower = 0.03}, 1);
    at_first += run.steps == kFewestLocalSteps;
  }
  EXPECT_GE(at_first, 950);
}

TEST(StepsControlTest, BytesYieldBeforeSteps) {
  Simulation run;
  run.Rounds({.wait = 0.2}, 100, /*can_send_less=*/true);
  EXPECT_EQ(run.steps, kFewestLocalSteps);
  run.Rounds({.wait = 0.2}, 100, /*can_send_less=*/false);
  EXPECT_EQ(run.steps, 32u);
}

// Others wish otherwise: it keeps its wish, and looks at what rounds really make.
TEST(StepsControlTest, AWishThatIsNotFollowedStays) {
  StepsControl control(4);
  for (int round = 0; round < 100; ++round) control.NoteRound(4, 0.4, 0.2, false);
  EXPECT_EQ(control.wish(), 16u);
  for (int round = 0; round < 100; ++round) control.NoteRound(32, 3.2, 0.2, false);
  EXPECT_EQ(control.wish(), 32u) << "16 would do, but not with little waiting";
}

}  // namespace
}  // namespace cddp
