// Compares our optimizers with LibTorch's own, on random problems.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "common/optimizer/optimizer.h"

namespace cddp {
namespace {

struct Case {
  std::string name;
  OptimizerOptions options;
};

Case MakeCase(std::string name, OptimizerKind kind, double momentum, bool nesterov, double weight_decay) {
  Case made{std::move(name), {}};
  made.options.kind = kind;
  made.options.lr.base = kind == OptimizerKind::kSgd ? 0.05 : 0.003;
  made.options.momentum = momentum;
  made.options.nesterov = nesterov;
  made.options.weight_decay = weight_decay;
  return made;
}

std::unique_ptr<torch::optim::Optimizer> LibTorchs(const OptimizerOptions& options, torch::Tensor weights) {
  const std::vector<torch::Tensor> parameters = {weights};
  switch (options.kind) {
    case OptimizerKind::kSgd:
      return std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(options.lr.base)
                                                                 .momentum(options.momentum)
                                                                 .nesterov(options.nesterov)
                                                                 .weight_decay(options.weight_decay));
    case OptimizerKind::kAdam:
      return std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(options.lr.base)
                                                                  .betas({options.beta1, options.beta2})
                                                                  .eps(options.epsilon)
                                                                  .weight_decay(options.weight_decay));
    case OptimizerKind::kAdamW:
      return std::make_unique<torch::optim::AdamW>(parameters, torch::optim::AdamWOptions(options.lr.base)
                                                                   .betas({options.beta1, options.beta2})
                                                                   .eps(options.epsilon)
                                                                   .weight_decay(options.weight_decay));
  }
  return nullptr;
}

class LibTorchOptimizerTest : public ::testing::TestWithParam<Case> {};

TEST_P(LibTorchOptimizerTest, FollowsLibTorchWithinFloatRounding) {
  constexpr int64_t kLength = 1000;
  const OptimizerOptions& options = GetParam().options;
  for (int seed = 0; seed < 3; ++seed) {
    torch::manual_seed(seed);
    torch::Tensor theirs = torch::randn({kLength}).requires_grad_(true);
    const torch::Tensor target = torch::randn({kLength});
    const torch::Tensor curvature = torch::rand({kLength}) * 3;
    torch::Tensor ours = theirs.detach().clone();
    const auto optimizer = LibTorchs(options, theirs);
    const auto own = Optimizer::Create(options, kLength);
    for (int step = 0; step < 100; ++step) {
      const torch::Tensor noise = torch::randn({kLength});
      theirs.mutable_grad() = curvature * (theirs.detach() - target) + noise;
      optimizer->step();

      torch::Tensor gradient = curvature * (ours - target) + noise;
      own->Step({gradient.data_ptr<float>(), kLength}, {ours.data_ptr<float>(), kLength}, {});
      ours += gradient;
      ASSERT_TRUE(torch::allclose(ours, theirs.detach(), /*rtol=*/5e-7, /*atol=*/5e-7))
          << "step " << step << ": " << (ours - theirs.detach()).abs().max().item<float>();
      ours.copy_(theirs.detach());  // what differs by rounding must not pile up over the steps
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, LibTorchOptimizerTest,
                         ::testing::Values(MakeCase("Sgd", OptimizerKind::kSgd, 0, false, 0),
                                           MakeCase("SgdDecay", OptimizerKind::kSgd, 0, false, 0.01),
                                           MakeCase("Momentum", OptimizerKind::kSgd, 0.9, false, 0.001),
                                           MakeCase("Nesterov", OptimizerKind::kSgd, 0.9, true, 0.001),
                                           MakeCase("Adam", OptimizerKind::kAdam, 0, false, 0),
                                           MakeCase("AdamDecay", OptimizerKind::kAdam, 0, false, 0.01),
                                           MakeCase("AdamW", OptimizerKind::kAdamW, 0, false, 0.01)),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace cddp
