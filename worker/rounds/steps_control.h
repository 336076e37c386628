// --local_steps=auto: a worker's wish for the number of steps between two exchanges, from its rounds' times. A pure
// controller: times are arguments.
//
// More steps between two exchanges reduce the waiting's part of the time, at a cost in quality
// (docs/convergence.md). A worker looks at the part of a round in which it waits:
// - above kMostWaiting it wishes enough steps to make the wait a small part, at most four times as many. If that does
//   not help (another worker computes for longer, and more so with more steps), it wishes what was before, and tries
//   again much later;
// - where half as many steps would leave it below kLittleWaiting, it wishes half as many. If that makes it wait, it
// goes
//   back, and tries again later, each time twice as late.
// It decides from the medians of kWindow rounds of equally many steps. What a round really makes is decided by all
// (agreed_steps.h).

#ifndef WORKER_ROUNDS_STEPS_CONTROL_H_
#define WORKER_ROUNDS_STEPS_CONTROL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace cddp {

// Below the fewest no measurement has shown a smaller loss, and bytes grow by as much; above the most it grows.
inline constexpr uint32_t kFewestLocalSteps = 4;
inline constexpr uint32_t kMostLocalSteps = 32;

// Not thread-safe.
class StepsControl {
 public:
  static constexpr size_t kWindow = 5;  // rounds, after the first with as many steps, which is left out
  static constexpr double kMostWaiting = 0.08;
  static constexpr double kLittleWaiting = 0.04;

  // `steps`: what rounds make to begin with; a power of two in [kFewestLocalSteps, kMostLocalSteps], as below.
  explicit StepsControl(uint32_t steps = kFewestLocalSteps) : wish_(steps), steps_(steps) {}

  uint32_t wish() const { return wish_; }

  // A round of `steps` took so long: passes, then the wait for its exchange. `can_send_less`: there is a way to wait
  // for less that comes before more steps (--ratio=auto).
  void NoteRound(uint32_t steps, double compute_seconds, double wait_seconds, bool can_send_less);

 private:
  struct Trial {
    uint32_t from = 0;
    double wait_a_step = 0;  // there, in seconds
  };

  void Decide(double compute_seconds, double wait_seconds, bool can_send_less);
  uint32_t WishMore(double compute_seconds, double wait_seconds);

  uint32_t wish_;
  uint32_t steps_;               // of the window's rounds
  bool is_new_ = true;           // no round with as many has been noted
  std::vector<double> compute_;  // of the window's rounds
  std::vector<double> wait_;     // likewise
  std::optional<Trial> more_;    // wished, until it has been judged
  uint32_t came_from_ = 0;       // more steps than now, from which it came down; 0: it did not
  uint64_t windows_ = 0;         // that were decided upon
  uint64_t calm_ = 0;            // of them in a row in which fewer steps would do
  uint64_t no_more_until_ = 0;   // in windows
  uint64_t no_more_for_ = 4;     // when more steps are found to be of no use once more
  uint64_t no_fewer_until_ = 0;  // likewise
  uint64_t no_fewer_for_ = 8;    // when fewer steps are found to be too few once more
};

}  // namespace cddp

#endif  // WORKER_ROUNDS_STEPS_CONTROL_H_
