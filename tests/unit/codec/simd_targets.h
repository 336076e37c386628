// Runs a test on every instruction set of this processor.

#ifndef TESTS_UNIT_CODEC_SIMD_TARGETS_H_
#define TESTS_UNIT_CODEC_SIMD_TARGETS_H_

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace cddp {

// Makes Highway's dispatch choose `target` (HWY_AVX2, ...); 0 gives the choice back.
inline void ChooseSimdTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Calls run() once on each target, the best first.
template <typename Run>
void ForEachSimdTarget(Run run) {
  ChooseSimdTarget(0);
  const std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
  for (int64_t target : targets) {
    SCOPED_TRACE(hwy::TargetName(target));
    ChooseSimdTarget(target);
    run();
  }
  ChooseSimdTarget(0);
}

}  // namespace cddp

#endif  // TESTS_UNIT_CODEC_SIMD_TARGETS_H_
