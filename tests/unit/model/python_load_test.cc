// Compares workers' saved models and losses with PyTorch in Python: modules of the same structure load the file and
// find the same loss.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/unit/model/test_images.h"
#include "worker/model/training_model.h"

namespace cddp {
namespace {

constexpr uint32_t kExtent = 28;
constexpr uint32_t kClasses = 10;
constexpr uint32_t kTestExamples = 50;

class PythonLoadTest : public testing::TestWithParam<std::string> {};

void WriteBytes(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TEST_P(PythonLoadTest, PythonFindsTheSameLoss) {
  std::string folder = testing::TempDir() + "/cddp_python_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const absl::Cleanup remove = [&] { std::filesystem::remove_all(folder); };

  const ImageDataset data = MakeTestImages(kExtent, kClasses, 32, kTestExamples);
  absl::StatusOr<std::unique_ptr<TrainingModel>> model = TrainingModel::Create({GetParam(), 1, 0, 1}, &data);
  ASSERT_TRUE(model.ok()) << model.status();
  for (uint32_t step = 0; step < 3; ++step) {  // moves the statistics of batch normalisation
    ASSERT_TRUE((*model)->ForwardBackward({step, step + 1, step + 2, step + 3}).ok());
  }
  const absl::StatusOr<Evaluation> evaluation = (*model)->Evaluate();
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  ASSERT_TRUE((*model)->Save(folder + "/model.pt").ok());
  WriteBytes(folder + "/pixels", data.test.pixels);
  WriteBytes(folder + "/labels", data.test.labels);

  const std::string command =
      absl::StrFormat("%s %s %s %s %d %d %.17g %.17g %.17g", CDDP_TORCH_PYTHON, CDDP_LOAD_SCRIPT, GetParam(), folder,
                      kExtent, kClasses, data.pixel_mean, data.pixel_stddev, evaluation->loss);
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

INSTANTIATE_TEST_SUITE_P(Models, PythonLoadTest, testing::Values("mlp", "simple_cnn", "bn_cnn", "resnet18"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace cddp
