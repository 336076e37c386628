// --ratio=auto: decides a worker's level from its rounds' times. A pure controller: times are arguments.
//
// Sending more than the network hides behind the computation costs time, sending less costs quality. So a worker begins
// in the middle of a table of levels, from every element at 4 bits down to 0.1 %, and moves by the part of a round in
// which it waits:
// - above kMostWaiting it goes down to the level that would have fitted. If that does not shorten the wait (another
// worker
//   is slower, or the answers are the larger part), sending less is useless: it goes back, and retries much later;
// - below kLittleWaiting it goes up by one level. If that makes it wait it goes back, and tries again later, each time
//   twice as late.
// Between the two it stays. A decision is made from the medians of kWindow rounds, so that an occasional
// evaluation or disturbance has no effect.

#ifndef WORKER_ROUNDS_RATIO_CONTROL_H_
#define WORKER_ROUNDS_RATIO_CONTROL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "worker/exchange/send_level.h"

namespace cddp {

// One level of the table.
struct RatioLevel {
  SendLevel send;
  double bits = 0;  // about, for each element
};

// From most to least.
absl::Span<const RatioLevel> RatioLevels();

// Not thread-safe.
class RatioControl {
 public:
  static constexpr size_t kLevels = 8;

  // Where a level may move. With --local_steps=auto both controllers want to shorten the same wait: bytes yield first,
  // down to kLowestBesideSteps, for fewer and denser exchanges lose less than many sparse ones; then steps, and at last
  // bytes again.
  struct Limits {
    size_t lowest = kLevels - 1;
    bool may_go_up = true;
  };
  static constexpr size_t kLowestBesideSteps = 3;  // 5 %

  static constexpr size_t kWindow = 5;  // rounds, after the first with a level, which is left out
  static constexpr double kMostWaiting = 0.08;
  static constexpr double kLittleWaiting = 0.03;
  static constexpr size_t kFirstLevel = 5;  // 1 %

  // `level`: to begin with, an index of RatioLevels().
  explicit RatioControl(size_t level = kFirstLevel) : level_(level) {}

  size_t level() const { return level_; }

  // A round at level() took so long: passes, then the wait for its last reply. Has level() changed, for the rounds from
  // now on?
  bool NoteRound(double compute_seconds, double wait_seconds, const Limits& limits);
  bool NoteRound(double compute_seconds, double wait_seconds) {
    return NoteRound(compute_seconds, wait_seconds, Limits());
  }

  // Whether it would send less if rounds waited more.
  bool CanGoDown(const Limits& limits) const { return level_ < limits.lowest && windows_ >= no_down_until_; }

  // Rounds are others from here on: those until now say nothing of them.
  void StartWindow();

 private:
  struct Trial {
    size_t from = 0;
    double wait_seconds = 0;  // there
  };

  bool Decide(double compute_seconds, double wait_seconds, const Limits& limits);
  bool GoDown(double compute_seconds, double wait_seconds, const Limits& limits);
  bool GoUp(double wait_seconds);
  void MoveTo(size_t level);

  size_t level_;
  bool is_new_ = true;                           // no round with this level has been noted
  std::vector<double> compute_;                  // of the window's rounds
  std::vector<double> wait_;                     // likewise
  std::optional<Trial> down_, up_;               // the last move, until it has been judged
  uint64_t windows_ = 0;                         // that were decided upon
  uint64_t calm_ = 0;                            // of them in a row with little waiting
  bool has_gone_down_ = false;                   // until then it goes up faster
  uint64_t no_down_until_ = 0;                   // in windows
  uint64_t no_down_for_ = 4;                     // when sending less is found to be of no use once more
  std::array<uint64_t, kLevels> no_up_until_{};  // to a level
  std::array<uint64_t, kLevels> no_up_for_{};    // when it is found to be too much once more; 0: never was
};

}  // namespace cddp

#endif  // WORKER_ROUNDS_RATIO_CONTROL_H_
