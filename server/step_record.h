// The counted steps of one worker, so that none counts twice and each retry gets its own round's answer.

#ifndef SERVER_STEP_RECORD_H_
#define SERVER_STEP_RECORD_H_

#include <cstdint>
#include <vector>

#include "common/codec/byte_io.h"

namespace cddp {

// Plain state: no lock, no clock.
class StepRecord {
 public:
  // Steps below this have been counted, but for the gaps.
  uint64_t next() const { return next_; }

  bool IsCounted(uint64_t step) const;

  // Notes a step that has not been counted before. With `keeps_gaps` the steps that it leaves out may still come; only
  // the latest gaps are known, and older steps pass for counted ones.
  void NoteCounted(uint64_t step, bool keeps_gaps);

  // The step's round had closed, so that it counted in a later one.
  void NoteLate(uint64_t step);
  bool WasLate(uint64_t step) const;

  // Where the worker went on after `step`: the step after it, or the end of the gap that begins there.
  uint64_t FollowerOf(uint64_t step) const;

  // For another process, whose steps start again.
  void StartAnew() { next_ = 0; }

  void Save(ByteWriter& to) const;
  void Load(ByteReader& from);

 private:
  // Steps [begin, end) to which the worker did not contribute, because it was away.
  struct Gap {
    uint64_t begin = 0;
    uint64_t end = 0;
  };

  uint64_t next_ = 0;
  std::vector<Gap> gaps_;  // ascending
  std::vector<uint64_t> late_;
};

}  // namespace cddp

#endif  // SERVER_STEP_RECORD_H_
