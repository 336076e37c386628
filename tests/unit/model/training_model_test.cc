#include "worker/model/training_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/layout/parameter_layout.h"
#include "tests/unit/model/test_images.h"

namespace cddp {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Le;

std::unique_ptr<TrainingModel> MakeOrDie(const std::string& name, const ImageDataset& data, uint64_t seed = 42,
                                         uint32_t rank = 0) {
  absl::StatusOr<std::unique_ptr<TrainingModel>> model = TrainingModel::Create({name, seed, rank, 1}, &data);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

std::vector<uint32_t> FirstExamples(uint32_t count) {
  std::vector<uint32_t> examples(count);
  std::iota(examples.begin(), examples.end(), 0);
  return examples;
}

std::vector<float> Copy(absl::Span<const float> values) { return {values.begin(), values.end()}; }

double StepOrDie(TrainingModel* model, absl::Span<const uint32_t> examples) {
  const absl::StatusOr<PassLoss> loss = model->ForwardBackward(examples);
  EXPECT_TRUE(loss.ok()) << loss.status();
  return loss->Value();
}

void Descend(TrainingModel* model, float rate) {
  for (size_t i = 0; i < model->weights().size(); ++i) model->weights()[i] -= rate * model->gradients()[i];
}

std::vector<std::string> Describe(const std::vector<TensorSpec>& tensors) {
  std::vector<std::string> lines;
  for (const TensorSpec& tensor : tensors) {
    lines.push_back(absl::StrCat(tensor.name, "[", absl::StrJoin(tensor.shape, ","), "]"));
  }
  return lines;
}

TEST(TrainingModelTest, MlpHasTheExpectedTensors) {
  const ImageDataset data = MakeTestImages(28, 10, 1, 1);
  const auto model = MakeOrDie("mlp", data);
  EXPECT_THAT(Describe(model->tensors()), ElementsAre("fc1.weight[256,784]", "fc1.bias[256]", "fc2.weight[128,256]",
                                                      "fc2.bias[128]", "fc3.weight[10,128]", "fc3.bias[10]"));
  EXPECT_EQ(model->weights().size(), 235146u);
}

TEST(TrainingModelTest, SimpleCnnIsThePyTorchExample) {
  const ImageDataset data = MakeTestImages(28, 10, 1, 1);
  const auto model = MakeOrDie("simple_cnn", data);
  EXPECT_THAT(Describe(model->tensors()),
              ElementsAre("conv1.weight[32,1,3,3]", "conv1.bias[32]", "conv2.weight[64,32,3,3]", "conv2.bias[64]",
                          "fc1.weight[128,9216]", "fc1.bias[128]", "fc2.weight[10,128]", "fc2.bias[10]"));
  EXPECT_EQ(model->weights().size(), 1199882u);
}

TEST(TrainingModelTest, Resnet18HasTorchvisionsNames) {
  const ImageDataset data = MakeTestImages(28, 10, 1, 1);
  const auto model = MakeOrDie("resnet18", data);
  const std::vector<std::string> tensors = Describe(model->tensors());
  EXPECT_EQ(tensors.size(), 122u);
  EXPECT_EQ(tensors.front(), "conv1.weight[64,1,7,7]");
  EXPECT_EQ(tensors[3], "layer1.0.conv1.weight[64,64,3,3]");
  EXPECT_THAT(tensors, testing::Contains("layer2.0.downsample.0.weight[128,64,1,1]"));
  EXPECT_EQ(tensors[61], "fc.bias[10]");
  EXPECT_EQ(tensors[62], "bn1.running_mean[64]");
  EXPECT_EQ(tensors.back(), "layer4.1.bn2.num_batches_tracked[]");
  EXPECT_EQ(model->weights().size(), 11175370u + model->buffers().size());
  EXPECT_EQ(model->buffers().size(), 9600u);
}

class EveryModelTest : public testing::TestWithParam<std::string> {
 protected:
  EveryModelTest() : data_(MakeTestImages(14, 4, 32, 8)) {}

  const ImageDataset data_;
};

TEST_P(EveryModelTest, TensorsFillTheFlatArrays) {
  auto model = MakeOrDie(GetParam(), data_);
  const absl::StatusOr<ParameterLayout> layout = ParameterLayout::Create(model->tensors());
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->total_elements(), model->weights().size());
  EXPECT_EQ(layout->total_elements(), model->gradients().size());
}

TEST_P(EveryModelTest, EveryTensorGetsAGradientInPlace) {
  auto model = MakeOrDie(GetParam(), data_);
  const ParameterLayout layout = *ParameterLayout::Create(model->tensors());
  const float* const gradients = model->gradients().data();
  for (int step = 0; step < 2; ++step) {
    std::ranges::fill(model->gradients(), 0.0f);
    StepOrDie(model.get(), FirstExamples(32));
    ASSERT_EQ(model->gradients().data(), gradients);
    for (size_t i = 0; i < layout.tensors().size(); ++i) {
      if (layout.tensors()[i].kind != TensorKind::kParameter) continue;
      const ElementRange range = layout.tensor_range(i);
      const auto values = model->gradients().subspan(range.begin, range.size());
      EXPECT_TRUE(std::ranges::any_of(values, [](float value) { return value != 0; })) << layout.tensors()[i].name;
    }
  }
}

TEST_P(EveryModelTest, WeightsWrittenFromOutsideAreUsed) {
  auto model = MakeOrDie(GetParam(), data_);
  std::ranges::fill(model->weights(), 0.0f);
  const absl::StatusOr<Evaluation> evaluation = model->Evaluate();
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_NEAR(evaluation->loss, std::log(4.0), 1e-5);  // no weights, no preference
  EXPECT_EQ(evaluation->examples, 8u);
}

TEST_P(EveryModelTest, InitialWeightsDependOnTheSeedAlone) {
  const auto first = MakeOrDie(GetParam(), data_, 1, 0);
  const auto other_rank = MakeOrDie(GetParam(), data_, 1, 3);
  const auto other_seed = MakeOrDie(GetParam(), data_, 2, 0);
  EXPECT_EQ(first->weights(), other_rank->weights());
  EXPECT_NE(first->weights(), other_seed->weights());
}

TEST_P(EveryModelTest, GradientsRepeatBitForBit) {
  auto first = MakeOrDie(GetParam(), data_);
  auto second = MakeOrDie(GetParam(), data_);
  for (int step = 0; step < 3; ++step) {
    EXPECT_EQ(StepOrDie(first.get(), FirstExamples(32)), StepOrDie(second.get(), FirstExamples(32)));
    ASSERT_EQ(first->gradients(), second->gradients()) << "step " << step;
    Descend(first.get(), 0.01f);
    Descend(second.get(), 0.01f);
  }
}

// Notes what is complete as it is told, and spoils the weights that the pass must not read any more.
class SpoilingListener : public GradientListener {
 public:
  explicit SpoilingListener(TrainingModel* model) : model_(*model), told_(model->gradients().size()) {}
  void OnLoss(const PassLoss& loss) override { loss_ = loss.Value(); }
  void OnGradients(uint64_t begin) override {
    EXPECT_LT(begin, begin_);
    for (uint64_t i = begin; i < begin_; ++i) {
      told_[i] = model_.gradients()[i];
      model_.weights()[i] = NAN;
    }
    begin_ = begin;
    ++calls_;
  }

  TrainingModel& model_;
  std::vector<float> told_;
  uint64_t begin_ = told_.size();
  int calls_ = 0;
  double loss_ = -1;
};

TEST_P(EveryModelTest, GradientsAreCompleteAndWeightsFreeWhenTheListenerHears) {
  auto plain = MakeOrDie(GetParam(), data_);
  auto model = MakeOrDie(GetParam(), data_);
  SpoilingListener listener(model.get());
  const absl::StatusOr<PassLoss> loss = model->ForwardBackward(FirstExamples(32), &listener);
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_EQ(listener.begin_, 0u);
  EXPECT_GE(listener.calls_, 4);  // along the pass, not at its end
  EXPECT_EQ(listener.loss_, loss->Value());
  EXPECT_EQ(StepOrDie(plain.get(), FirstExamples(32)), loss->Value());
  EXPECT_EQ(listener.told_, Copy(plain->gradients()));
  EXPECT_EQ(Copy(model->gradients()), Copy(plain->gradients()));
}

TEST_P(EveryModelTest, GradientIsTheSlopeOfTheLoss) {
  auto model = MakeOrDie(GetParam(), data_);
  const std::vector<uint32_t> examples = FirstExamples(32);
  StepOrDie(model.get(), examples);
  const std::vector<float> weights = Copy(model->weights());
  const std::vector<float> gradients = Copy(model->gradients());
  double slope = 0;  // along the gradient
  for (const float gradient : gradients) slope += double{gradient} * gradient;
  // Dropout would draw other elements in each step, so two models at the same place of their streams are compared.
  const double distance = 1e-3 / std::sqrt(slope);
  std::array<double, 2> losses;
  for (const int side : {0, 1}) {
    auto moved = MakeOrDie(GetParam(), data_);
    for (size_t i = 0; i < weights.size(); ++i) {
      moved->weights()[i] = static_cast<float>(weights[i] + (side == 0 ? -distance : distance) * gradients[i]);
    }
    losses[side] = StepOrDie(moved.get(), examples);
  }
  EXPECT_NEAR((losses[1] - losses[0]) / (2 * distance * slope), 1, 0.05);
}

TEST_P(EveryModelTest, OverfitsAFewExamples) {
  auto model = MakeOrDie(GetParam(), data_);
  const double before = StepOrDie(model.get(), FirstExamples(32));
  for (int step = 0; step < 60; ++step) {
    StepOrDie(model.get(), FirstExamples(32));
    Descend(model.get(), 0.05f);
  }
  EXPECT_LT(StepOrDie(model.get(), FirstExamples(32)), before / 4);
  const absl::StatusOr<Evaluation> evaluation = model->Evaluate();
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_EQ(evaluation->accuracy, 1);
}

TEST_P(EveryModelTest, GoesOnFromItsState) {
  auto model = MakeOrDie(GetParam(), data_);
  for (int step = 0; step < 2; ++step) {
    StepOrDie(model.get(), FirstExamples(32));
    Descend(model.get(), 0.01f);
  }
  // What an exchange of one worker does.
  std::copy(model->buffers().begin(), model->buffers().end(), model->weights().end() - model->buffers().size());
  auto other = MakeOrDie(GetParam(), data_);
  ASSERT_TRUE(other->SetState(model->State()).ok());
  std::copy(model->weights().begin(), model->weights().end(), other->weights().begin());
  other->TakePublishedBuffers();
  EXPECT_EQ(model->buffers(), other->buffers());
  for (int step = 0; step < 2; ++step) {
    EXPECT_EQ(StepOrDie(model.get(), FirstExamples(32)), StepOrDie(other.get(), FirstExamples(32)));
    Descend(model.get(), 0.01f);
    Descend(other.get(), 0.01f);
  }
  EXPECT_EQ(model->Evaluate()->loss, other->Evaluate()->loss);
  EXPECT_EQ(model->State(), other->State());
  EXPECT_TRUE(absl::IsInvalidArgument(other->SetState(model->State() + "x")));
}

TEST_P(EveryModelTest, SaveReplacesTheFile) {
  auto model = MakeOrDie(GetParam(), data_);
  const std::string path = absl::StrCat(testing::TempDir(), "/cddp_model_test.", getpid());
  ASSERT_TRUE(model->Save(path).ok());
  ASSERT_TRUE(model->Save(path).ok());
  EXPECT_THAT(std::filesystem::file_size(path), Gt(model->weights().size() * sizeof(float)));
  EXPECT_THAT(std::filesystem::file_size(path), Le(model->weights().size() * sizeof(float) + 100'000));
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  std::remove(path.c_str());
}

INSTANTIATE_TEST_SUITE_P(Models, EveryModelTest, testing::Values("mlp", "simple_cnn", "bn_cnn", "resnet18"),
                         [](const auto& info) { return info.param; });

// Runs itself in a second process, which finds the name of the file for its gradients in the environment.
TEST_P(EveryModelTest, GradientsRepeatInAnotherProcess) {
  constexpr const char* kVariable = "CDDP_MODEL_TEST_GRADIENTS";
  auto model = MakeOrDie(GetParam(), data_);
  for (int step = 0; step < 2; ++step) {
    StepOrDie(model.get(), FirstExamples(32));
    Descend(model.get(), 0.01f);
  }
  const std::string gradients(reinterpret_cast<const char*>(model->gradients().data()),
                              model->gradients().size() * sizeof(float));
  if (const char* path = std::getenv(kVariable); path != nullptr) {
    std::ofstream(path, std::ios::binary) << gradients;
    return;
  }
  const std::string path = absl::StrCat(testing::TempDir(), "/cddp_model_gradients.", getpid());
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command = absl::StrCat(kVariable, "='", path, "' '", program, "' --gtest_filter='*",
                                           "GradientsRepeatInAnotherProcess/", GetParam(), "' > /dev/null");
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  std::ifstream file(path, std::ios::binary);
  const std::string theirs{std::istreambuf_iterator<char>(file), {}};
  std::remove(path.c_str());
  EXPECT_TRUE(theirs == gradients);
}

TEST(TrainingModelTest, PublishedBuffersStayUntilTheyAreWrittenAndTheModelTakesThem) {
  const ImageDataset data = MakeTestImages(8, 4, 8, 8);
  auto model = MakeOrDie("bn_cnn", data);
  const absl::Span<float> published = model->weights().subspan(model->weights().size() - model->buffers().size());
  EXPECT_EQ(model->buffers(), published) << "at first";
  const std::vector<float> initial = Copy(published);
  StepOrDie(model.get(), FirstExamples(8));
  EXPECT_NE(model->buffers(), published) << "the pass has moved the model's own";
  EXPECT_EQ(Copy(published), initial);
  const double drifted = model->Evaluate()->loss;
  model->TakePublishedBuffers();
  EXPECT_EQ(Copy(model->buffers()), initial);
  EXPECT_NE(model->Evaluate()->loss, drifted) << "an evaluation uses the model's own";
}

TEST(TrainingModelTest, DropoutDiffersBetweenRanksAndSteps) {
  const ImageDataset data = MakeTestImages(8, 4, 8, 1);
  auto first = MakeOrDie("simple_cnn", data, 1, 0);
  auto other = MakeOrDie("simple_cnn", data, 1, 1);
  const double loss = StepOrDie(first.get(), FirstExamples(8));
  EXPECT_NE(loss, StepOrDie(other.get(), FirstExamples(8)));
  EXPECT_NE(loss, StepOrDie(first.get(), FirstExamples(8)));
}

TEST(TrainingModelTest, EvaluationIsWithoutDropoutAndCoversSeveralBatches) {
  const ImageDataset data = MakeTestImages(8, 4, 8, 1001);
  auto model = MakeOrDie("simple_cnn", data);
  const absl::StatusOr<Evaluation> first = model->Evaluate();
  const absl::StatusOr<Evaluation> second = model->Evaluate();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->examples, 1001u);
  EXPECT_EQ(first->loss, second->loss);
  EXPECT_EQ(first->accuracy, second->accuracy);
}

TEST(TrainingModelTest, RefusesAnUnknownModel) {
  const ImageDataset data = MakeTestImages(8, 4, 4, 4);
  const absl::Status status = TrainingModel::Create({"x", 1, 0, 1}, &data).status();
  EXPECT_EQ(status, absl::InvalidArgumentError(
                        "unknown model 'x': use mlp, simple_cnn, bn_cnn, resnet18, gpt, resnet50_shapes"));
}

TEST(TrainingModelTest, RefusesImagesTooSmallForSimpleCnn) {
  const ImageDataset small = MakeTestImages(5, 4, 4, 4);
  const absl::Status status = TrainingModel::Create({"simple_cnn", 1, 0, 1}, &small).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("at least 6x6 pixels, not 5x5"));

  const ImageDataset smallest = MakeTestImages(6, 4, 4, 4);
  StepOrDie(MakeOrDie("simple_cnn", smallest).get(), FirstExamples(4));
}

TEST(TrainingModelTest, SimpleCnnTakesOddExtents) {
  const ImageDataset data = MakeTestImages(9, 4, 4, 4);
  StepOrDie(MakeOrDie("simple_cnn", data).get(), FirstExamples(4));
}

TEST(TrainingModelTest, RefusesExamplesThatAreNotThere) {
  const ImageDataset data = MakeTestImages(8, 4, 4, 4);
  auto model = MakeOrDie("mlp", data);
  EXPECT_EQ(model->ForwardBackward({}).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status outside = model->ForwardBackward({0, 4}).status();
  EXPECT_EQ(outside, absl::InvalidArgumentError("example 4 is outside the training set of 4"));
}

TEST(TrainingModelTest, LibTorchErrorsBecomeAStatus) {
  ImageDataset data = MakeTestImages(8, 4, 4, 4);
  data.classes = 2;  // labels 2 and 3 are outside
  auto model = MakeOrDie("mlp", data);
  const absl::Status status = model->ForwardBackward(FirstExamples(4)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("LibTorch: "));
}

TEST(TrainingModelTest, SaveNamesAPathThatCannotBeWritten) {
  const ImageDataset data = MakeTestImages(8, 4, 4, 4);
  const absl::Status status = MakeOrDie("mlp", data)->Save("/nonexistent/model.pt");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("/nonexistent/model.pt"));
}

}  // namespace
}  // namespace cddp
