// The GPT: its names and shapes, its first loss, its gradients, and that it learns.

#include "worker/model/gpt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "worker/model/training_model.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kContext = 16;

TextDataset Text() {
  TextDataset data;
  for (int i = 0; i < 40; ++i) data.train += "what is pushed comes back. ";
  data.validation = data.train.substr(0, 5 * kContext + 1);
  data.context = kContext;
  return data;
}

ModelOptions Options() {
  ModelOptions options;
  options.name = "gpt";
  options.gpt = {.layers = 2, .dim = 32, .heads = 4};
  return options;
}

std::unique_ptr<TrainingModel> Make(const ModelOptions& options, const TextDataset& data) {
  absl::StatusOr<std::unique_ptr<TrainingModel>> model = TrainingModel::Create(options, &data);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

TEST(GptTest, TensorsAreNamedAndShapedAsNanoGpts) {
  const TextDataset data = Text();
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const TensorSpec& tensor : Make(Options(), data)->tensors()) shapes[tensor.name] = tensor.shape;
  EXPECT_EQ(shapes.size(), 2u + 2 * 12 + 2 + 1);
  EXPECT_EQ(shapes["transformer.wte.weight"], (std::vector<int64_t>{256, 32}));
  EXPECT_EQ(shapes["transformer.wpe.weight"], (std::vector<int64_t>{kContext, 32}));
  EXPECT_EQ(shapes["transformer.h.1.ln_1.bias"], (std::vector<int64_t>{32}));
  EXPECT_EQ(shapes["transformer.h.0.attn.c_attn.weight"], (std::vector<int64_t>{96, 32}));
  EXPECT_EQ(shapes["transformer.h.0.attn.c_proj.weight"], (std::vector<int64_t>{32, 32}));
  EXPECT_EQ(shapes["transformer.h.1.mlp.c_fc.weight"], (std::vector<int64_t>{128, 32}));
  EXPECT_EQ(shapes["transformer.h.1.mlp.c_proj.bias"], (std::vector<int64_t>{32}));
  EXPECT_EQ(shapes["transformer.ln_f.weight"], (std::vector<int64_t>{32}));
  EXPECT_EQ(shapes["lm_head.weight"], (std::vector<int64_t>{256, 32}));
}

TEST(GptTest, KnowsNothingAtFirstAndEveryParameterHasAGradient) {
  const TextDataset data = Text();
  const auto model = Make(Options(), data);
  const absl::StatusOr<Evaluation> first = model->Evaluate();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_NEAR(first->loss, std::log(256), 0.1);
  EXPECT_TRUE(std::isnan(first->accuracy));
  EXPECT_EQ(first->examples, 5u);
  const absl::StatusOr<PassLoss> loss = model->ForwardBackward({0, 7, 100});
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NEAR(loss->Value(), std::log(256), 0.1);
  uint64_t begin = 0;
  for (const TensorSpec& tensor : model->tensors()) {
    uint64_t elements = 1;
    for (const int64_t extent : tensor.shape) elements *= static_cast<uint64_t>(extent);
    const absl::Span<const float> gradient = model->gradients().subspan(begin, elements);
    EXPECT_TRUE(std::any_of(gradient.begin(), gradient.end(), [](float value) { return value != 0; })) << tensor.name;
    begin += elements;
  }
}

// What a position predicts must not depend on the bytes after it: else the loss would mean nothing.
TEST(GptTest, LooksAtEarlierBytesOnly) {
  torch::manual_seed(1);
  const std::shared_ptr<Classifier> gpt = MakeGpt({.layers = 2, .dim = 32, .heads = 4, .context = kContext});
  const torch::Tensor bytes = torch::randint(256, {3, kContext}, torch::kInt64);
  const torch::Tensor before = gpt->forward(bytes);
  EXPECT_EQ(before.sizes().vec(), (std::vector<int64_t>{3, kContext, 256}));
  for (int64_t changed = 0; changed < kContext; ++changed) {
    torch::Tensor other = bytes.clone();
    other.select(1, changed) = (other.select(1, changed) + 1).remainder(256);
    const torch::Tensor after = gpt->forward(other);
    EXPECT_TRUE(before.slice(1, 0, changed).equal(after.slice(1, 0, changed))) << changed;
    EXPECT_FALSE(before.slice(1, changed).equal(after.slice(1, changed))) << changed;
  }
  EXPECT_TRUE(torch::allclose(gpt->forward(bytes.slice(1, 0, 5)), before.slice(1, 0, 5), 1e-4, 1e-5)) << "shorter";
}

TEST(GptTest, LearnsATinyTextByHeart) {
  const TextDataset data = Text();
  const auto model = Make(Options(), data);
  std::vector<uint32_t> examples;
  for (uint32_t i = 0; i < 27; ++i) examples.push_back(i);
  std::vector<float> mean(model->weights().size()), square(model->weights().size());
  for (int step = 1; step <= 120; ++step) {  // Adam
    ASSERT_TRUE(model->ForwardBackward(examples).ok());
    for (size_t i = 0; i < mean.size(); ++i) {
      const float gradient = model->gradients()[i];
      mean[i] = 0.9F * mean[i] + 0.1F * gradient;
      square[i] = 0.95F * square[i] + 0.05F * gradient * gradient;
      model->weights()[i] -= 3e-3F * mean[i] / (1 - std::pow(0.9F, static_cast<float>(step))) /
                             (std::sqrt(square[i] / (1 - std::pow(0.95F, static_cast<float>(step)))) + 1e-8F);
    }
  }
  EXPECT_LT(model->Evaluate()->loss, 0.5);
}

TEST(GptTest, TheSameSeedGivesTheSameBits) {
  const TextDataset data = Text();
  ModelOptions options = Options();
  const auto a = Make(options, data);
  options.rank = 1;
  const auto b = Make(options, data);
  EXPECT_TRUE(std::equal(a->weights().begin(), a->weights().end(), b->weights().begin()));
  EXPECT_EQ(a->ForwardBackward({3})->Value(), b->ForwardBackward({3})->Value());
  EXPECT_TRUE(std::equal(a->gradients().begin(), a->gradients().end(), b->gradients().begin()));
}

TEST(GptTest, RefusesWhatDoesNotFit) {
  const TextDataset data = Text();
  ModelOptions options = Options();
  options.gpt.heads = 5;
  EXPECT_THAT(TrainingModel::Create(options, &data).status().message(), HasSubstr("--dim=32 cannot be divided"));
  options.gpt = {.layers = 0};
  EXPECT_THAT(TrainingModel::Create(options, &data).status().message(), HasSubstr("--layers=0"));
  options = Options();
  options.name = "mlp";
  EXPECT_THAT(TrainingModel::Create(options, &data).status().message(), HasSubstr("--model=mlp cannot learn text"));
  const ImageDataset images = BlankDataset(4);
  options.name = "gpt";
  EXPECT_THAT(TrainingModel::Create(options, &images).status().message(), HasSubstr("--data"));
  EXPECT_FALSE(Make(Options(), data)->ForwardBackward({static_cast<uint32_t>(data.train.size()) - kContext}).ok());
}

}  // namespace
}  // namespace cddp
