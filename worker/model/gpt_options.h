// The shape of a GPT, without LibTorch.

#ifndef WORKER_MODEL_GPT_OPTIONS_H_
#define WORKER_MODEL_GPT_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace cddp {

struct GptOptions {
  uint32_t layers = 4;
  uint32_t dim = 128;      // of a position's vector
  uint32_t heads = 0;      // of attention; 0: one for each 64 of dim, at least one
  uint32_t context = 128;  // bytes that the model sees
};

// InvalidArgument naming the flag whose value makes no sense.
absl::Status Validate(const GptOptions& options);

// The number of heads used.
uint32_t HeadsOf(const GptOptions& options);

}  // namespace cddp

#endif  // WORKER_MODEL_GPT_OPTIONS_H_
