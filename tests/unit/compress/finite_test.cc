#include "common/compress/finite.h"

#include <cfloat>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/codec/simd_targets.h"

namespace cddp {
namespace {

TEST(AllFiniteTest, FindsOneBadValueAnywhere) {
  ForEachSimdTarget([] {
    for (size_t size : {0u, 1u, 3u, 16u, 31u, 32u, 33u, 100u}) {
      std::vector<float> values(size, FLT_MAX);
      EXPECT_TRUE(AllFinite(values));
      for (size_t i = 0; i < size; ++i) {
        for (float bad : {HUGE_VALF, -HUGE_VALF, std::numeric_limits<float>::quiet_NaN(),
                          -std::numeric_limits<float>::signaling_NaN()}) {
          values[i] = bad;
          EXPECT_FALSE(AllFinite(values)) << "at " << i << " of " << size;
        }
        values[i] = -std::numeric_limits<float>::denorm_min();
      }
    }
  });
}

}  // namespace
}  // namespace cddp
