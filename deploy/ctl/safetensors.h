// Model weights as a safetensors file, which Python's safetensors.torch.load_file opens. Format:
// https://huggingface.co/docs/safetensors: 8 bytes length of the header, the header as JSON, then the data.

#ifndef DEPLOY_CTL_SAFETENSORS_H_
#define DEPLOY_CTL_SAFETENSORS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"

namespace cddp::ctl {

// Writes all tensors, named as the model names them; `weights` has total_elements(). Counters of training steps get
// `steps`, those of one worker (deploy/ctl/trained_steps.h). The file's metadata has the version. The file is replaced
// completely or not at all.
absl::Status WriteSafetensors(const std::string& path, const ParameterLayout& layout, absl::Span<const float> weights,
                              uint64_t version, uint64_t steps);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_SAFETENSORS_H_
