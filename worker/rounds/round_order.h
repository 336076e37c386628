// Which round is computed and which is exchanged, and when a worker is between the two. A pure state machine.
//
// A round is H steps and one exchange. Without overlap one follows the other. With --overlap=K the first K of a round's
// steps are made while the exchange of the last one is under way:
//
//   steps      | round 1        | round 2        | round 3        |
//   exchanges                   | exchange 1 |   | exchange 2 |   | exchange 3 |
//
// Then that exchange is finished, and once all of the round's steps are made, its own begins. Before that nothing is
// under way, and the round's steps are held back: there a checkpoint is taken, and there a worker stops. An epoch ends
// when its last exchange has: all workers then have the published weights alike.

#ifndef WORKER_ROUNDS_ROUND_ORDER_H_
#define WORKER_ROUNDS_ROUND_ORDER_H_

#include <cstdint>

#include "common/check/check.h"

namespace cddp {

// Not thread-safe.
class RoundOrder {
 public:
  // `exchange`: the coming one's number. `holds_back`: its round's steps have been made, as a checkpoint may say.
  explicit RoundOrder(uint64_t exchange, bool holds_back = false)
      : exchange_(exchange), phase_(holds_back ? Phase::kHeldBack : Phase::kNothing) {}

  // The round whose steps are made next.
  uint64_t computing() const { return exchange_ + (phase_ == Phase::kNothing ? 0 : 1); }

  // Whether an exchange has begun and is not finished.
  bool is_under_way() const { return phase_ == Phase::kUnderWay; }

  // Whether steps were made whose exchange has not begun.
  bool holds_back() const { return phase_ == Phase::kHeldBack; }

  // The steps of computing() are made. Nothing may be under way: the exchange before is finished first.
  void NoteSteps() {
    CDDP_CHECK(phase_ == Phase::kNothing) << "the last exchange is not finished";
    phase_ = Phase::kHeldBack;
  }

  // Notes that their exchange begins.
  void NoteBegun() {
    CDDP_CHECK(phase_ == Phase::kHeldBack) << "there is nothing to exchange";
    phase_ = Phase::kUnderWay;
  }

  // It is finished, and the coming one is number `exchange`: the next, or a later one where others went on without this
  // worker.
  void NoteFinished(uint64_t exchange) {
    CDDP_CHECK(phase_ == Phase::kUnderWay && exchange > exchange_) << "no such exchange is under way";
    exchange_ = exchange;
    phase_ = Phase::kNothing;
  }

 private:
  enum class Phase { kNothing, kHeldBack, kUnderWay };

  uint64_t exchange_;  // under way, or the coming one
  Phase phase_;
};

}  // namespace cddp

#endif  // WORKER_ROUNDS_ROUND_ORDER_H_
