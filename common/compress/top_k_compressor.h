// The CPU's BucketCompressor. One pass over memory collects candidates above a threshold carried over from the last
// step; the exact selection is made among them, and encoding and rounding errors touch only the selected elements.
// When the carried threshold does not fit, a second pass over the (cached) residual uses a sampled threshold or, as a
// last resort, an exactly searched one; the result is the same.

#ifndef COMMON_COMPRESS_TOP_K_COMPRESSOR_H_
#define COMMON_COMPRESS_TOP_K_COMPRESSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/compress/bucket_compressor.h"
#include "common/compress/candidates.h"
#include "common/compress/carried_threshold.h"
#include "common/compress/scratch.h"
#include "common/compress/select_largest.h"

namespace cddp {

class TopKCompressor : public BucketCompressor {
 public:
  // `options` must be valid for a bucket of `length`.
  TopKCompressor(uint32_t length, const CompressorOptions& options);

  absl::StatusOr<CompressResult> Compress(absl::Span<const float> input, absl::Span<float> residual,
                                          std::string* update) override;
  absl::StatusOr<CompressResult> CompressProduced(InputSource source, absl::Span<float> residual,
                                                  std::string* update) override;
  // CompressProduced with k = count(), which is called when all pieces have been made, limited to the number of
  // elements outside always_sent. A bitmap replaces the index encoding where it is smaller, and all elements are sent
  // where that is smaller. An object must be used in one of these ways only.
  using CountSource = absl::FunctionRef<uint32_t()>;
  absl::StatusOr<CompressResult> CompressCounted(InputSource source, CountSource count, absl::Span<float> residual,
                                                 std::string* update);
  float threshold() const override { return adaptive_.threshold(); }
  void set_threshold(float threshold) override { adaptive_.Set(threshold); }

 private:
  Candidates& candidates() { return scratch_->candidates; }
  bool selects() const { return options_.ratio < 1 && k_ > 0; }
  // The key that candidates of the coming pass must reach; kNoCandidates in the first step.
  uint32_t CarriedKey() const;
  // residual[begin, begin + input.size()) += input; candidates are the elements that reach `least_key`.
  void Pass(absl::Span<const float> input, uint32_t begin, absl::Span<float> residual, uint32_t least_key,
            PassSummary* summary);
  // The same for all pieces of `source`.
  absl::StatusOr<PassSummary> PassProduced(InputSource source, uint32_t least_key, absl::Span<float> residual);
  // After the pass over the whole bucket: selects among the candidates, which reach `least_key`, and encodes.
  absl::StatusOr<CompressResult> Finish(const PassSummary& summary, uint32_t least_key, absl::Span<float> residual,
                                        std::string* update);
  // Reduces the candidates, which reach `least_key`, to the elements to send; returns the smallest magnitude.
  float Select(absl::Span<const float> residual, uint32_t least_key, bool complete);
  // Collects candidates for a better key than `failed`; returns that key.
  uint32_t CollectAgain(absl::Span<const float> residual, uint32_t failed);
  // Merges always_sent and the selected elements into the scratch memory's indices and values.
  void AddAlwaysSent(absl::Span<const float> residual);

  const uint32_t length_;
  const CompressorOptions options_;
  std::vector<BucketSlice> eligible_;  // the elements outside always_sent
  const uint32_t eligible_count_;
  uint32_t k_ = 0;  // number to select among these
  bool counted_ = false;
  CompressScratch* scratch_ = nullptr;  // of the calling thread
  LargestSelector selector_;
  CarriedThreshold carried_;
  AdaptiveThreshold adaptive_;  // with Selection::kThreshold
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_TOP_K_COMPRESSOR_H_
