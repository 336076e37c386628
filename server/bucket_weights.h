// The weights of one bucket and what changes them: the mean of a round's contributions goes through the optimizer, and
// the change is published with error feedback: as many elements as were pushed, or a fixed part of the bucket.
//
// True weights are kept as published + residual: the workers' weights plus the part not published yet. One element
// takes 8 bytes and the optimizer's state.
//
// A round goes over the bucket in pieces that fit a core's cache: the contributions' entries are added up in a scratch
// piece, which passes the optimizer and the compressor at once, so that the sum never reaches memory.

#ifndef SERVER_BUCKET_WEIGHTS_H_
#define SERVER_BUCKET_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/codec/byte_io.h"
#include "common/codec/update_reader.h"
#include "common/compress/bucket_compressor.h"
#include "common/compress/touched_compressor.h"
#include "common/memory/large_array.h"
#include "common/optimizer/optimizer.h"

namespace cddp {

// A ratio in CompressorOptions: as many elements as the round's contributions touched are published. If the
// optimizer moves no others, exactly these; otherwise those that differ most
// (common/compress/touched_compressor.h).
inline constexpr double kPublishAllPushed = 0;

// One call at a time; different buckets are independent.
class BucketWeights {
 public:
  // `length` zeros. Errors of BucketCompressor::Create, to which kPublishAllPushed is no error here.
  static absl::StatusOr<std::unique_ptr<BucketWeights>> Create(uint32_t length, const OptimizerOptions& optimizer,
                                                               const CompressorOptions& publish);

  // A round's gradient: carried + the contributions, added in their order (float addition is not associative), times
  // `scale`; or, where these count differently, each of them times its factor.
  struct Round {
    std::vector<CheckedUpdate> contributions;
    absl::Span<const float> carried;  // of earlier rounds; empty: zeros
    float scale = 1;
    std::vector<float> factors;  // of the contributions; empty: all 1
    float carried_factor = 1;    // only with factors
  };

  // The sum of the contributions becomes the weights, without scale and factors. Replaces *update by them, encoded
  // without loss.
  void Initialize(const Round& round, std::string* update);

  // One step of the optimizer. Replaces *update by the published change, encoded. FailedPrecondition, with
  // unusable weights, if they are not finite any more.
  absl::Status Step(const Round& round, std::string* update);

  absl::Span<const float> published() const { return published_; }

  // The whole state; a new object of the same length and options that loads it continues bit for bit. Load leaves
  // `from` failed if it does not fit.
  void Save(ByteWriter& to) const;
  void Load(ByteReader& from);

 private:
  BucketWeights(uint32_t length, const OptimizerOptions& optimizer);

  LargeArray<float> published_;
  LargeArray<float> residual_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<TouchedCompressor> touched_publisher_;  // exactly one of the two is set
  std::unique_ptr<BucketCompressor> ratio_publisher_;
};

}  // namespace cddp

#endif  // SERVER_BUCKET_WEIGHTS_H_
