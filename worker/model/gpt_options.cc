#include "worker/model/gpt_options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cddp {
namespace {

absl::Status CheckRange(absl::string_view flag, uint32_t value, uint32_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, "=", value, " is outside 1 to ", most));
}

}  // namespace

absl::Status Validate(const GptOptions& options) {
  for (const absl::Status& status :
       {CheckRange("--layers", options.layers, 1000), CheckRange("--dim", options.dim, 65536),
        CheckRange("--context", options.context, 65536)}) {
    if (!status.ok()) return status;
  }
  const uint32_t heads = HeadsOf(options);
  if (options.dim % heads == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--dim=", options.dim, " cannot be divided among ", heads,
                                                 " heads: use a multiple of it, or other --heads"));
}

uint32_t HeadsOf(const GptOptions& options) {
  return options.heads != 0 ? options.heads : std::max(1u, options.dim / 64);
}

}  // namespace cddp
