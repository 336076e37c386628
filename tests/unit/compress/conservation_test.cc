// For every element: sum of sent values + residual == sum of inputs, within float rounding.

#include <cmath>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"
#include "common/compress/bucket_compressor.h"
#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"
#include "tests/unit/codec/random_updates.h"

namespace cddp {
namespace {

void ExpectConservation(uint32_t length, const CompressorOptions& options, uint32_t seed) {
  auto compressor = *BucketCompressor::Create(length, options);
  std::vector<float> residual(length);
  std::vector<double> fed(length), sent(length), largest(length, 1e-30);
  constexpr int kSteps = 8;
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<float> input = RandomValues(length, false, seed + static_cast<uint32_t>(step));
    std::string update;
    RC_ASSERT(compressor->Compress(input, absl::MakeSpan(residual), &update).ok());
    const absl::StatusOr<DecodedUpdate> decoded = DecodeUpdate(update, length);
    RC_ASSERT(decoded.ok());
    for (uint32_t i = 0; i < length; ++i) {
      fed[i] += static_cast<double>(input[i]);
      largest[i] += std::fabs(static_cast<double>(input[i]));
    }
    for (size_t i = 0; i < decoded->indices.size(); ++i) {
      sent[decoded->indices[i]] += static_cast<double>(decoded->values[i]);
      largest[decoded->indices[i]] += std::fabs(static_cast<double>(decoded->values[i]));
    }
    for (uint32_t i = 0; i < length; ++i) {
      // Two roundings a step, each of half a unit in the last place of what went through.
      RC_ASSERT(std::fabs(sent[i] + static_cast<double>(residual[i]) - fed[i]) <= (step + 1) * largest[i] * 1.2e-7);
    }
  }
}

RC_GTEST_PROP(ConservationProperty, HoldsForEveryEncoding, ()) {
  const auto length = *rc::gen::inRange<uint32_t>(1, 3000);
  CompressorOptions options;
  options.ratio = *rc::gen::element(0.003, 0.01, 0.3, 1.0);
  if (*rc::gen::arbitrary<bool>()) {
    const auto begin = *rc::gen::inRange<uint32_t>(0, length);
    options.always_sent = {{begin, *rc::gen::inRange<uint32_t>(begin, length + 1)}};
  }
  const auto seed = *rc::gen::arbitrary<uint32_t>();
  for (ValueEncoding value_encoding : kAllValueEncodings) {
    for (IndexEncoding index_encoding : kSparseIndexEncodings) {
      options.value_encoding = value_encoding;
      options.index_encoding = index_encoding;
      ExpectConservation(length, options, seed);
    }
  }
}

}  // namespace
}  // namespace cddp
