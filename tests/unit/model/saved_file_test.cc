// LibTorch reads the file that Save writes: every parameter and buffer under its name, bit for bit.

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
    ASSERT_EQ(loaded.sizes().vec(), expected.shape) << expected.name;
    if (expected.kind == TensorKind::kCounter) {
      EXPECT_EQ(loaded.scalar_type(), at::kLong) << expected.name;
      EXPECT_EQ(loaded.item<int64_t>(), 1) << expected.name;
      continue;
    }
    EXPECT_EQ(loaded.scalar_type(), at::kFloat) << expected.name;
    const ElementRange range = layout.tensor_range(i);
    const bool is_buffer = expected.kind == TensorKind::kBuffer;
    const auto weights = is_buffer
                             ? (*model)->buffers().subspan(range.begin - layout.parameter_elements(), range.size())
                             : absl::Span<const float>((*model)->weights()).subspan(range.begin, range.size());
    EXPECT_EQ(std::memcmp(loaded.data_ptr<float>(), weights.data(), weights.size() * sizeof(float)), 0)
        << expected.name;
  }

  EXPECT_TRUE(tensors.empty()) << "nothing else is in the file";
}

INSTANTIATE_TEST_SUITE_P(Models, SavedFileTest, testing::Values("mlp", "simple_cnn", "bn_cnn", "resnet18"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace cddp
