// --local_steps=auto: the workers' common decisions about later rounds, as elements that the servers average.
//
// All workers must make the same number of steps before an exchange, and know which steps of the training these are. So
// a few elements follow the model's buffers in the parameter space and are averaged like them: with every exchange a
// worker pushes the training's position, the number of steps in the round after, and its wish. A version's published
// values are the same at all workers, so all that hold it, from a journal, a snapshot or an answer, continue alike; no
// message, journal or checkpoint knows of it.
//
// Let the exchange of round v have made version v + 1. That version holds: `position`, the steps of the training up to
// the end of round v; `steps`, those of round v + 1; and the mean of the wishes. That mean determines the steps of
// round v + 2, which are pushed with round v + 1: one round later than possible, so that with overlap a worker knows
// them although the exchange is still under way.
//
// Pushed values are equal at all workers, except the wish, so their mean is the pushed value. Where some worker
// contributed nothing to a round (it rolled a bucket forward after a crash), the mean lies between the values before
// and after: all round it alike, and make a few steps of the data twice or not at all.

#ifndef WORKER_ROUNDS_AGREED_STEPS_H_
#define WORKER_ROUNDS_AGREED_STEPS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace cddp {

inline constexpr size_t kAgreedElements = 3;

struct AgreedSteps {
  uint64_t position = 0;  // steps of the training that have been made
  uint32_t steps = 0;     // of the round that begins there
  double wish = 0;        // the logarithm, to base 2, of the mean of the workers' wishes

  // The result of the wishes: the nearest power of two.
  uint32_t wished_steps() const;
};

// Before the first round, which makes `steps`.
AgreedSteps FirstSteps(uint32_t steps);

// From kAgreedElements elements and back. Any elements give steps that can be made.
AgreedSteps ReadSteps(absl::Span<const float> elements);
std::vector<float> WriteSteps(const AgreedSteps& agreed);

// How many steps a round at `now` makes: an epoch's last may be shorter.
uint64_t StepsOfRound(const AgreedSteps& now, uint64_t steps_per_epoch);

// What a worker pushes with the exchange of the round at `now`, which made `made` steps, after which rounds make
// `steps` and it wishes `wish`.
AgreedSteps StepsAfter(const AgreedSteps& now, uint64_t made, uint32_t steps, uint32_t wish);

}  // namespace cddp

#endif  // WORKER_ROUNDS_AGREED_STEPS_H_
