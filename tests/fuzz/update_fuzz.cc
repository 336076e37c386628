// Any bytes as an update: refused without a trace, or valid in all that they say.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/codec/little_endian.h"
#include "common/codec/update_codec.h"
#include "tests/fuzz/check.h"

using cddp::DecodedUpdate;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  // The bucket's length as the header has it, or nothing but that check would be tested.
  constexpr uint32_t kLongest = 1 << 16;
  const uint32_t length = size < 8 ? 1 : cddp::LoadLe<uint32_t>(data + 4) % (kLongest + 1);

  std::vector<float> target(length);
  const bool taken = cddp::AddUpdate(bytes, absl::MakeSpan(target)).ok();
  const absl::StatusOr<DecodedUpdate> decoded = cddp::DecodeUpdate(bytes, length);
  Check(decoded.ok() == taken);
  Check(cddp::ValidateUpdate(bytes, length).ok() == taken);
  std::vector<float> expected(length);
  if (taken) {
    Check(decoded->indices.size() == decoded->values.size());
    for (size_t i = 0; i < decoded->indices.size(); ++i) {
      Check(decoded->indices[i] < length);
      Check(i == 0 || decoded->indices[i - 1] < decoded->indices[i]);
      Check(std::isfinite(decoded->values[i]));
      expected[decoded->indices[i]] += decoded->values[i];
    }
  }
  Check(target == expected);
  return 0;
}
