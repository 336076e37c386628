// Error-feedback top-k compression of one bucket.
//
// compensated = input + residual; the k largest magnitudes of it are encoded; residual = compensated - decode(encoded).
// What is not sent now, rounding error included, is sent later: for every element, the sum of what was sent plus the
// residual equals the sum of the inputs within float rounding (Stich et al. 2018, "Sparsified SGD with memory"; Lin et
// al. 2018, "Deep Gradient Compression").
//
// Workers compress gradients with it; servers compress weight changes with it, where the residual is the difference of
// true and published weights. That is why it lives in common/.

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
  kThreshold,  // all magnitudes from a threshold on that is adapted step by step; k/2 to 2k of them, see Compress
};

// For ABSL_FLAG: "top_k", "threshold".
bool AbslParseFlag(absl::string_view text, Selection* selection, std::string* error);
std::string AbslUnparseFlag(Selection selection);

struct CompressorOptions {
  double ratio = 0.01;  // selected fraction of elements, in (0, 1]; 1 sends all that is not zero
  Selection selection = Selection::kTopK;
  ValueEncoding value_encoding = kDefaultValueEncoding;
  IndexEncoding index_encoding = IndexEncoding::kGap8;
  std::vector<BucketSlice> always_sent;  // sorted, disjoint: sent whole besides the k selected among the others
};

struct CompressResult {
  uint32_t selected = 0;   // elements sent
  float threshold = 0;     // magnitude of the smallest element selected by size; 0 if none was
  double residual_sq = 0;  // sum of squares of the new residual (an estimate is fine: it feeds a metric)
};

// k of a bucket: ratio * length to the nearest, at least 1, at most length; exact in double arithmetic, so that every
// worker and test agrees.
uint32_t SelectedCount(uint32_t length, double ratio);

// Owns scratch memory and the threshold carried from step to step; allocates only in the first calls. Not thread-safe:
// one call at a time; different compressors are independent, so buckets are compressed in parallel.
class BucketCompressor {
 public:
  // `length`: elements of the bucket, > 0. InvalidArgument for a ratio outside (0, 1] or slices outside the bucket.
  static absl::StatusOr<std::unique_ptr<BucketCompressor>> Create(uint32_t length, const CompressorOptions& options);
  virtual ~BucketCompressor() = default;

  // Compresses `input` (length elements) with error feedback in `residual` (length elements), replacing *update by the
  // encoded bytes (common/codec/update_codec.h). Sent are the elements of always_sent and, of the E others, the
  // k = SelectedCount(E, ratio) of largest magnitude (none if E is 0); equal magnitudes go to the lowest index. The
  // bytes depend on input and residual alone, never on the carried threshold or the processor.
  //
  // With Selection::kThreshold, the elements sent besides always_sent are those that reach the carried threshold, if
  // these are from k/2 to 2k; else, and in the first step, it is k as above. The threshold moves by an eighth of the
  // relative excess over k. The bytes depend on the steps before, not on the processor.
  //
  // Sums beyond the largest float count as that. InvalidArgument, and residual untouched, if input holds NaN or
  // infinity. FailedPrecondition, and residual as good as lost, if residual holds NaN.
  virtual absl::StatusOr<CompressResult> Compress(absl::Span<const float> input, absl::Span<float> residual,
                                                  std::string* update) = 0;

  // Makes input[begin, end) of a bucket; what it returns need last only until its next call.
  using InputSource = absl::FunctionRef<absl::Span<const float>(uint32_t begin, uint32_t end)>;

  // Compresses, with the same result, an input that is made while it is compressed and never exists as a whole: calls
  // `source` for consecutive pieces of kInputPiece elements (the last is shorter), each of which is used while it is in
  // the cache. `source` may read the residual of its piece. FailedPrecondition, and residual as good as lost, if a
  // piece holds NaN or infinity.
  virtual absl::StatusOr<CompressResult> CompressProduced(InputSource source, absl::Span<float> residual,
                                                          std::string* update) = 0;

  // With Selection::kThreshold, the threshold of the coming step; 0 in the first step, and with other selections. A
  // compressor that is given it goes on as the one that it comes from.
  virtual float threshold() const = 0;
  virtual void set_threshold(float threshold) = 0;

  static constexpr uint32_t kInputPiece = 8 * 1024;  // 32 KiB, so that it and as much of other arrays fit an L2 cache
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_BUCKET_COMPRESSOR_H_
