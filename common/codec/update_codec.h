// The bytes of an update of one bucket: sorted indices and values (sparse) or all values (dense).
//
// The same bytes are sent in Exchange messages both ways and stored in journals. They describe themselves; all integers
// are little-endian. Decoding trusts nothing: every function here that reads bytes checks them fully before it writes
// anything, never reads or writes out of bounds, and takes memory only in proportion to the bytes it was given.
//
// All functions are free of shared state and may be called from any thread.

#ifndef COMMON_CODEC_UPDATE_CODEC_H_
#define COMMON_CODEC_UPDATE_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/codec/encoding.h"
#include "common/codec/update_header.h"

namespace cddp {

// Encodes `values[i]` at `indices[i]` of a bucket of `length` elements, replacing *bytes (its capacity is reused).
// Requires indices strictly increasing and below length, and finite values; both spans of one size. Overwrites `values`
// with their decoded values, so that the caller can keep the rounding error.
void EncodeSparse(absl::Span<const uint32_t> indices, absl::Span<float> values, uint32_t length,
                  IndexEncoding index_encoding, ValueEncoding value_encoding, std::string* bytes);

// Encodes all values of a bucket; otherwise as EncodeSparse.
void EncodeDense(absl::Span<float> values, ValueEncoding value_encoding, std::string* bytes);

// Encodes a whole bucket. If the value encoding codes each value by itself (fp32, fp16, bf16), it takes the smaller of
// dense and sparse without zeros (8-bit gaps). Otherwise as EncodeSparse.
void EncodeAll(absl::Span<float> values, ValueEncoding value_encoding, std::string* bytes);

// Checks the whole of `bytes` as an update of a bucket of `length` elements: header, sizes, indices strictly increasing
// and in range, values finite. InvalidArgument says what is wrong.
absl::StatusOr<UpdateInfo> ValidateUpdate(absl::string_view bytes, uint32_t length);

// target[index] += value for each entry, in index order, one float32 addition each. target.size() is the bucket's
// length. Validates first: on error target is unchanged.
absl::Status AddUpdate(absl::string_view bytes, absl::Span<float> target);

// target[index] = 0 for each entry; otherwise as AddUpdate.
absl::Status ClearAtUpdate(absl::string_view bytes, absl::Span<float> target);

// The entries as lists; `indices` counts 0, 1, ... for a dense update.
struct DecodedUpdate {
  std::vector<uint32_t> indices;
  std::vector<float> values;
};
absl::StatusOr<DecodedUpdate> DecodeUpdate(absl::string_view bytes, uint32_t length);

}  // namespace cddp

#endif  // COMMON_CODEC_UPDATE_CODEC_H_
