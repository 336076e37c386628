#include "worker/model/models.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/model_names.h"

namespace cddp {

absl::StatusOr<std::shared_ptr<Network>> MakeModel(const std::string& name, const ImageOptions& options) {
  if (name == "mlp") return MakeMlp(options);
  if (name == "simple_cnn") return MakeSimpleCnn(options);
  if (name == "bn_cnn") return MakeBnCnn(options);
  if (name == "resnet18") return MakeResnet18(options);
  return absl::InvalidArgumentError(absl::StrCat("unknown model '", name, "': use ", absl::StrJoin(kModelNames, ", ")));
}

}  // namespace cddp
