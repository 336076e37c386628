// How a worker's weights go on while an exchange is under way (--overlap): element by element, over arrays of one
// length that do not overlap.
//
//   begin       where those steps began that no exchange has begun with
//   difference  by how much they have moved the weights, with a gradient's sign: what is pushed
//   replica     the published weights; an exchange adds its replies there

#ifndef WORKER_OPTIMIZER_MOVED_WEIGHTS_H_
#define WORKER_OPTIMIZER_MOVED_WEIGHTS_H_

#include <cmath>
#include <cstddef>

namespace cddp {

// `begin` is the replica where no exchange is under way.
inline void NoteMoved(const float* __restrict begin, const float* __restrict weights, float* __restrict difference,
                      size_t size) {
  for (size_t i = 0; i < size; ++i) difference[i] = begin[i] - weights[i];
}

// The exchange of `difference` begins: the weights go on from the published ones and what is pushed, which is where the
// mean of all workers is expected. What is not finite, which no server will take, is left out.
inline void GoAhead(const float* __restrict replica, const float* __restrict difference, float* __restrict weights,
                    float* __restrict begin, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    const float moved = std::isfinite(difference[i]) ? difference[i] : 0;
    weights[i] = begin[i] = replica[i] - moved;
  }
}

// It is finished: the answer takes the place of what was pushed, beneath what the steps since GoAhead have moved.
inline void TakeAnswer(const float* __restrict replica, float* __restrict weights, float* __restrict begin,
                       size_t size) {
  for (size_t i = 0; i < size; ++i) {
    weights[i] = replica[i] + (weights[i] - begin[i]);
    begin[i] = replica[i];
  }
}

}  // namespace cddp

#endif  // WORKER_OPTIMIZER_MOVED_WEIGHTS_H_
