// Error-feedback top-k compression of one bucket.
//
// compensated = input + residual; its k largest magnitudes are encoded; residual = compensated - decode(encoded).
// The rest, including the rounding error, is sent later: for every element, the sum of what was sent plus the
// residual equals the sum of the inputs within float rounding (Stich et al. 2018, "Sparsified SGD with memory"; Lin et
// al. 2018, "Deep Gradient Compression").
//
// Workers compress gradients with it. Servers compress weight changes with it; their residual is the difference of true
// and published weights. That is why it is in common/.

#ifndef COMMON_COMPRESS_BUCKET_COMPRESSOR_H_
#define COMMON_COMPRESS_BUCKET_COMPRESSOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/codec/encoding.h"

namespace cddp {

// A half-open range of a bucket's elements.
struct BucketSlice {
  uint32_t begin = 0;
  uint32_t end = 0;
};

// How the elements to send are chosen.
enum class Selection : uint8_t {
  kTopK,       // exactly the k largest magnitudes
  kThreshold,  // all magnitudes above a threshold that adapts step by step; k/2 to 2k of them, see Compress
};

// For ABSL_FLAG: "top_k", "threshold".
bool AbslParseFlag(absl::string_view text, Selection* selection, std::string* error);
std::string AbslUnparseFlag(Selection selection);

struct CompressorOptions {
  double ratio = 0.01;  // selected fraction of elements, in (0, 1]; 1 sends all that are not zero
  Selection selection = Selection::kTopK;
  ValueEncoding value_encoding = kDefaultValueEncoding;
  IndexEncoding index_encoding = IndexEncoding::kGap8;
  std::vector<BucketSlice> always_sent;  // sorted, disjoint: always sent whole; k others are selected
};

struct CompressResult {
  uint32_t selected = 0;   // elements sent
  float threshold = 0;     // magnitude of the smallest element selected by size; 0 if none was
  double residual_sq = 0;  // sum of squares of the new residual (an estimate is fine: it feeds a metric)
};

// k of a bucket: ratio * length, rounded to nearest, at least 1, at most length; exact in double arithmetic, so that
// every worker and test agrees.
uint32_t SelectedCount(uint32_t length, double ratio);

// Owns scratch memory and the threshold carried from step to step; allocates only in the first calls. Not thread-safe:
// one call at a time; different compressors are independent, so buckets are compressed in parallel.
class BucketCompressor {
 public:
  // `length`: elements of the bucket, > 0. InvalidArgument for a ratio outside (0, 1] or slices outside the bucket.
  static absl::StatusOr<std::unique_ptr<BucketCompressor>> Create(uint32_t length, const CompressorOptions& options);
  virtual ~BucketCompressor() = default;

  // Compresses `input` (length elements) with error feedback in `residual` (length elements), replacing *update by the
  // encoded bytes (common/codec/update_codec.h). It sends the elements of always_sent and, of the E others, the
  // k = SelectedCount(E, ratio) of largest magnitude (none if E is 0); among equal magnitudes, the lowest index. The
  // bytes depend on input and residual alone, never on the carried threshold or the processor.
  //
  // With Selection::kThreshold it sends, besides always_sent, the elements that reach the carried threshold, if these
  // are from k/2 to 2k; otherwise, and in the first step, k as above. The threshold moves by an eighth of the relative
  // excess over k. The bytes depend on the steps before, not on the processor.
  //
  // Sums are limited to the largest float. InvalidArgument, with the residual unchanged, if input holds NaN or
  // infinity. FailedPrecondition, with an unusable residual, if the residual holds NaN.
  virtual absl::StatusOr<CompressResult> Compress(absl::Span<const float> input, absl::Span<float> residual,
                                                  std::string* update) = 0;

  // Returns input[begin, end) of a bucket, which must stay valid only until its next call.
  using InputSource = absl::FunctionRef<absl::Span<const float>(uint32_t begin, uint32_t end)>;

  // Compresses, with the same result, an input that is made piece by piece and never exists as a whole: calls `source`
  // for consecutive pieces of kInputPiece elements (the last is shorter) and uses each while it is in the cache.
  // `source` may read the residual of its piece. FailedPrecondition, with an unusable residual, if a piece holds NaN or
  // infinity.
  virtual absl::StatusOr<CompressResult> CompressProduced(InputSource source, absl::Span<float> residual,
                                                          std::string* update) = 0;

  // With Selection::kThreshold, the threshold of the coming step; 0 in the first step, and with other selections. A new
  // compressor that is given it continues as the one it comes from.
  virtual float threshold() const = 0;
  virtual void set_threshold(float threshold) = 0;

  static constexpr uint32_t kInputPiece = 8 * 1024;  // 32 KiB: it and pieces of other arrays fit an L2 cache
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_BUCKET_COMPRESSOR_H_
