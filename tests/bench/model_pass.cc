// A model's forward and backward pass in C++ without anything around it, which tests/bench/python_overhead compares
// with PyTorch's. Prints the least and the median of the passes in milliseconds, wall clock.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "common/clock/monotonic.h"
#include "common/config/process.h"
#include "worker/data/dataset.h"
#include "worker/model/training_model.h"

ABSL_FLAG(std::string, model, "resnet18", "a model of images");
ABSL_FLAG(std::string, data_dir, "data/mnist", "folder of IDX files");
ABSL_FLAG(uint32_t, batch_size, 16, "examples of a pass");
ABSL_FLAG(uint32_t, passes, 30, "measured, after three to warm up");

namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "model_pass: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Run() {
  const absl::StatusOr<cddp::ImageDataset> data = cddp::LoadImageDataset(absl::GetFlag(FLAGS_data_dir), {});
  if (!data.ok()) return Fail(data.status());
  cddp::ModelOptions options;
  options.name = absl::GetFlag(FLAGS_model);
  const auto model = cddp::TrainingModel::Create(options, &*data);
  if (!model.ok()) return Fail(model.status());
  const uint32_t batch = absl::GetFlag(FLAGS_batch_size);
  std::vector<uint32_t> examples(batch);
  std::vector<double> milliseconds;
  const uint32_t warm_up = 3;
  for (uint32_t pass = 0; pass < warm_up + absl::GetFlag(FLAGS_passes); ++pass) {
    for (uint32_t i = 0; i < batch; ++i) examples[i] = (pass * batch + i) % static_cast<uint32_t>(data->train.count());
    const absl::Duration begin = cddp::MonotonicNow();
    const absl::StatusOr<cddp::PassLoss> loss = (*model)->ForwardBackward(examples, nullptr);
    if (!loss.ok()) return Fail(loss.status());
    if (pass >= warm_up) milliseconds.push_back(absl::ToDoubleMilliseconds(cddp::MonotonicNow() - begin));
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("%.3f %.3f\n", milliseconds.front(), milliseconds[milliseconds.size() / 2]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  cddp::TuneProcess();
  absl::ParseCommandLine(argc, argv);
  return Run();
}
