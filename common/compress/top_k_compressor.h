// The CPU's BucketCompressor. One pass over memory collects candidates above a threshold carried over from the last
// step, the exact selection is made among these, and their encoding and rounding errors touch only what was selected.
// When the carried threshold does not fit, a second pass over the (cached) residual does it with a sampled or, at
// last, an exactly searched one; the result is the same.

#ifndef COMMON_COMPRESS_TOP_K_COMPRESSOR_H_
#define COMMON_COMPRESS_TOP_K_COMPRESSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/compress/bucket_compressor.h"
#include "common/compress/candidates.h"
#include "common/compress/carried_threshold.h"
#include "common/compress/select_largest.h"

namespace cddp {

class TopKCompressor : public BucketCompressor {
 public:
  // `options` are valid for a bucket of `length`.
  TopKCompressor(uint32_t length, const CompressorOptions& options);

  absl::StatusOr<CompressResult> Compress(absl::Span<const float> input, absl::Span<float> residual,
                                          std::string* update) override;
  absl::StatusOr<CompressResult> CompressProduced(InputSource source, absl::Span<float> residual,
                                                  std::string* update) override;
  float threshold() const override { return adaptive_.threshold(); }
  void set_threshold(float threshold) override { adaptive_.Set(threshold); }

 private:
  bool selects() const { return options_.ratio < 1 && k_ > 0; }
  // The key that candidates of the coming pass must reach; kNoCandidates in the first step.
  uint32_t CarriedKey() const;
  // residual[begin, begin + input.size()) += input; candidates are what reaches `least_key`.
  void Pass(absl::Span<const float> input, uint32_t begin, absl::Span<float> residual, uint32_t least_key,
            PassSummary* summary);
  // What follows the pass over all the bucket: selection among the candidates, which reach `least_key`, and encoding.
  absl::StatusOr<CompressResult> Finish(const PassSummary& summary, uint32_t least_key, absl::Span<float> residual,
                                        std::string* update);
  // Makes of the candidates, which reach `least_key`, what is to be sent; returns the magnitude of the smallest.
  float Select(absl::Span<const float> residual, uint32_t least_key, bool complete);
  // Candidates for another, better key than `failed`; returns it.
  uint32_t CollectAgain(absl::Span<const float> residual, uint32_t failed);
  // Merges always_sent and what was selected into indices_ and values_.
  void AddAlwaysSent(absl::Span<const float> residual);
  // Encode and leave the rounding error in the residual. `sum_sq` is of the residual before.
  CompressResult SendSparse(absl::Span<const uint32_t> indices, absl::Span<const float> values, double sum_sq,
                            absl::Span<float> residual, std::string* update);
  CompressResult SendDense(absl::Span<float> residual, std::string* update);

  const uint32_t length_;
  const CompressorOptions options_;
  std::vector<BucketSlice> eligible_;  // what always_sent leaves
  uint32_t k_ = 0;                     // to be selected among these
  Candidates candidates_;
  LargestSelector selector_;
  CarriedThreshold carried_;
  AdaptiveThreshold adaptive_;     // with Selection::kThreshold
  std::vector<uint32_t> indices_;  // with always_sent: what is sent
  std::vector<float> values_;
  std::vector<float> decoded_;
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_TOP_K_COMPRESSOR_H_
