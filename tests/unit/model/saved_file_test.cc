// What Save writes, read back by LibTorch: every parameter and buffer under its name, bit for bit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "common/layout/parameter_layout.h"
#include "tests/unit/model/test_images.h"
#include "worker/model/training_model.h"

namespace cddp {
namespace {

std::map<std::string, at::Tensor> Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  std::map<std::string, at::Tensor> tensors;
  for (const auto& entry : torch::jit::pickle_load(bytes).toGenericDict()) {
    tensors[entry.key().toStringRef()] = entry.value().toTensor();
  }
  return tensors;
}

class SavedFileTest : public testing::TestWithParam<std::string> {
 protected:
  SavedFileTest() : data_(MakeTestImages(14, 4, 32, 8)) {}

  const ImageDataset data_;
};

TEST_P(SavedFileTest, HoldsEveryTensorBitForBit) {
  std::string folder = testing::TempDir() + "/cddp_saved_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const absl::Cleanup remove = [&] { std::filesystem::remove_all(folder); };

  absl::StatusOr<std::unique_ptr<TrainingModel>> model = TrainingModel::Create({GetParam(), 1, 0, 1}, &data_);
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE((*model)->ForwardBackward({0, 1, 2, 3}).ok());  // moves the statistics of batch normalisation
  ASSERT_TRUE((*model)->Save(folder + "/model.pt").ok());
  std::map<std::string, at::Tensor> tensors = Load(folder + "/model.pt");

  const ParameterLayout layout = *ParameterLayout::Create((*model)->tensors());
  for (size_t i = 0; i < layout.tensors().size(); ++i) {
    const TensorSpec& expected = layout.tensors()[i];
    ASSERT_TRUE(tensors.contains(expected.name)) << expected.name;
    const at::Tensor loaded = tensors[expected.name].contiguous();
    tensors.erase(expected.name);
    EXPECT_EQ(loaded.scalar_type(), at::kFloat) << expected.name;
    ASSERT_EQ(loaded.sizes().vec(), expected.shape) << expected.name;
    const ElementRange range = layout.tensor_range(i);
    const auto weights = (*model)->weights().subspan(range.begin, range.size());
    EXPECT_EQ(std::memcmp(loaded.data_ptr<float>(), weights.data(), weights.size() * sizeof(float)), 0)
        << expected.name;
  }

  // What is left are buffers: three for each of the 20 batch normalisations of resnet18, none elsewhere.
  EXPECT_EQ(tensors.size(), GetParam() == "resnet18" ? 60u : 0u);
  if (GetParam() == "resnet18") {
    EXPECT_EQ(tensors["bn1.num_batches_tracked"].item<int64_t>(), 1);
    EXPECT_GT(tensors["bn1.running_mean"].abs().sum().item<double>(), 0);
    EXPECT_EQ(tensors.count("layer4.1.bn2.running_var"), 1u);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SavedFileTest, testing::Values("mlp", "simple_cnn", "resnet18"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace cddp
