#include "worker/trainer/save_model.h"

#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/files/durable_file.h"
#include "common/files/save_output.h"

namespace cddp {
namespace {

bool Saves(const TrainerOptions& options) { return options.cluster.rank == 0 && !options.model_output.empty(); }

}  // namespace

absl::Status CheckModelOutput(const TrainerOptions& options, uint64_t elements) {
  if (!Saves(options)) return absl::OkStatus();
  const absl::Status status = CheckReplaceable(options.model_output, elements * sizeof(float));
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("--model_output=", status.message()));
}

absl::Status SaveModel(const TrainerOptions& options,
                       const std::function<absl::Status(const std::string& path)>& write) {
  if (!Saves(options)) return absl::OkStatus();
  SystemClock clock;
  SaveOptions save;
  save.patience = options.save_timeout;
  save.should_stop = options.should_stop;
  save.on_first = [&options](const absl::Status& status) {
    spdlog::error("event=model_not_saved reason=\"{}\" trying_for_seconds={:.0f}", std::string(status.message()),
                  absl::ToDoubleSeconds(options.save_timeout));
  };
  const absl::Status status = SaveOutput(options.model_output, write, clock, save);
  if (status.ok()) return status;
  return absl::InternalError(absl::StrCat("the training is over, but not its model in place: ", status.message()));
}

}  // namespace cddp
