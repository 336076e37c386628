#include "worker/model/shapes_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "worker/model/gradient_frontier.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;

class Recorder : public GradientListener {
 public:
  void OnLoss(const PassLoss& loss) override { losses.push_back(loss.Value()); }
  void OnGradients(uint64_t begin) override { begins.push_back(begin); }
  std::vector<double> losses;
  std::vector<uint64_t> begins;
};

TEST(ShapesModelTest, HasTorchvisionsResnet50) {
  const ShapesModel model({42, 0, absl::ZeroDuration()});
  const std::vector<TensorSpec> tensors = model.tensors();
  EXPECT_EQ(tensors.size(), 161u);
  EXPECT_EQ(model.weights().size(), 25557032u);
  EXPECT_EQ(tensors.front(), (TensorSpec{"conv1.weight", {64, 3, 7, 7}}));
  EXPECT_THAT(tensors, ::testing::Contains(TensorSpec{"layer3.0.downsample.0.weight", {1024, 512, 1, 1}}));
  EXPECT_EQ(tensors.back(), (TensorSpec{"fc.bias", {1000}}));
}

TEST(ShapesModelTest, GradientsAreThoseOfSeedRankAndStep) {
  ShapesModel first({42, 0, absl::ZeroDuration()});
  ShapesModel same({42, 0, absl::ZeroDuration()});
  ShapesModel other({42, 1, absl::ZeroDuration()});
  EXPECT_EQ(first.weights(), other.weights());
  std::vector<float> before;
  for (int step = 0; step < 2; ++step) {
    for (ShapesModel* model : {&first, &same, &other}) ASSERT_TRUE(model->ForwardBackward({}, nullptr).ok());
    EXPECT_EQ(first.gradients(), same.gradients());
    EXPECT_NE(first.gradients(), other.gradients());
    EXPECT_NE(first.gradients(), absl::MakeSpan(before));
    before.assign(first.gradients().begin(), first.gradients().end());
  }
}

TEST(ShapesModelTest, TellsItsLayersLastFirst) {
  ShapesModel model({42, 0, absl::ZeroDuration()});
  Recorder recorder;
  ASSERT_TRUE(model.ForwardBackward({}, &recorder).ok());
  EXPECT_EQ(recorder.begins.size(), 54u);  // 53 convolutions and fc
  EXPECT_TRUE(std::is_sorted(recorder.begins.rbegin(), recorder.begins.rend()));
  EXPECT_EQ(recorder.begins.front(), 25557032u - 2049000u);
  EXPECT_EQ(recorder.begins.back(), 0u);
  EXPECT_THAT(recorder.losses, ElementsAre(0));
}

TEST(GradientFrontierTest, FallsOnlyWhenEverythingBehindIsComplete) {
  GradientFrontier frontier({0, 10, 30, 35});
  Recorder recorder;
  for (int pass = 0; pass < 2; ++pass) {
    recorder.begins.clear();
    frontier.Start(&recorder);
    frontier.Complete(2);
    EXPECT_THAT(recorder.begins, ElementsAre());
    frontier.Complete(3);
    EXPECT_THAT(recorder.begins, ElementsAre(30));
    frontier.Complete(3);
    frontier.Complete(0);
    EXPECT_THAT(recorder.begins, ElementsAre(30));
    if (pass == 0) frontier.Complete(1);
    frontier.Finish();  // of tensor 1 nothing was heard in the second pass
    EXPECT_THAT(recorder.begins, ElementsAre(30, 0));
  }
}

}  // namespace
}  // namespace cddp
