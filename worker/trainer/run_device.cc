#include "worker/trainer/run_device.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace cddp {

absl::StatusOr<ChosenDevice> RunDevice(const TrainerOptions& options, const GpusFound& found) {
  absl::StatusOr<ChosenDevice> chosen = ChooseDevice(options.device, options.cluster.rank, found);
  if (!chosen.ok() || !chosen->device.is_gpu || options.exchange.compressor.ratio < 1) return chosen;
  const std::string asked = absl::StrCat("--device=", AbslUnparseFlag(options.device));
  if (options.device.kind == DeviceChoice::Kind::kAuto) {
    return ChosenDevice{{}, absl::StrCat(asked, ", and dense gradients (--ratio=1) are not done on a GPU")};
  }
  return absl::InvalidArgumentError(absl::StrCat(
      asked,
      ": dense gradients (--ratio=1, --nocompress) are not done on a GPU: take a ratio below 1, or --device=cpu"));
}

}  // namespace cddp
