// Prints a model's tensors as JSON, [{"name", "shape", "cost"}], for measurements of other systems on the same shapes.

#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "worker/model/resnet50_shapes.h"

ABSL_FLAG(std::string, model, "resnet50_shapes", "the model; there is but one");

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_model) != "resnet50_shapes") {
    std::fprintf(stderr, "unknown model '%s': use resnet50_shapes\n", absl::GetFlag(FLAGS_model).c_str());
    return 2;
  }
  nlohmann::json tensors = nlohmann::json::array();
  for (const cddp::ShapedTensor& tensor : cddp::Resnet50Shapes()) {
    tensors.push_back({{"name", tensor.spec.name}, {"shape", tensor.spec.shape}, {"cost", tensor.cost}});
  }
  std::printf("%s\n", tensors.dump().c_str());
}
