// The names of a worker's models, for programs that only pass a name on.

#ifndef COMMON_CONFIG_MODEL_NAMES_H_
#define COMMON_CONFIG_MODEL_NAMES_H_

#include "absl/strings/string_view.h"

namespace cddp {

// Shapes only, with random gradients: needs no data set.
inline constexpr char kShapesModelName[] = "resnet50_shapes";
// Learns text instead of images.
inline constexpr char kGptName[] = "gpt";

inline constexpr const char* kModelNames[] = {"mlp", "simple_cnn", "bn_cnn", "resnet18", kGptName, kShapesModelName};

// Whether --model is the path of a TorchScript file rather than a name.
inline bool IsModelFile(absl::string_view model) { return model.find_first_of("./") != absl::string_view::npos; }

}  // namespace cddp

#endif  // COMMON_CONFIG_MODEL_NAMES_H_
