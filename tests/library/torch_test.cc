// cddp::DistributedOptimizer around LibTorch's modules and optimizers.

#include "cddp/torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/fault/server_process.h"

namespace {

using ::testing::HasSubstr;

using OptionList = std::initializer_list<std::pair<const char*, std::string>>;

// With running statistics, a frozen parameter and one that no pass uses.
struct NetImpl : torch::nn::Module {
  NetImpl() {
    torch::manual_seed(1);
    first = register_module("first", torch::nn::Linear(8, 16));
    norm = register_module("norm", torch::nn::BatchNorm1d(16));
    last = register_module("last", torch::nn::Linear(16, 4));
    frozen = register_parameter("frozen", torch::ones({3}), /*requires_grad=*/false);
    unused = register_parameter("unused", torch::ones({2, 2}));
    tied = register_parameter("tied", first->weight);
  }
  torch::Tensor forward(const torch::Tensor& x) { return last(torch::relu(norm(first(x)))); }

  torch::nn::Linear first{nullptr}, last{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  torch::Tensor frozen, unused, tied;
};
TORCH_MODULE(Net);

torch::Tensor LossOf(Net& net, int step) {
  torch::manual_seed(step + 100);
  const torch::Tensor x = torch::randn({32, 8});
  return torch::mse_loss(net(x), x.narrow(1, 0, 4));
}

std::vector<torch::Tensor> All(Net& net) {
  std::vector<torch::Tensor> all;
  for (const torch::Tensor& tensor : net->parameters()) all.push_back(tensor.detach().clone());
  for (const torch::Tensor& tensor : net->buffers()) all.push_back(tensor.clone());
  return all;
}

void ExpectEqual(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << i;
}

class TorchTest : public ::testing::Test {
 protected:
  TorchTest() { server_.emplace(std::vector<std::string>{"--workers=1", "--lr=0.1", "--momentum=0"}); }

  std::pair<const char*, std::string> Servers() const { return {"servers", server_->address()}; }

  // Some steps by the servers' optimizer.
  std::vector<torch::Tensor> TrainByGradients(bool overlaps) {
    const cddp::ServerProcess server({"--workers=1", "--lr=0.1", "--momentum=0"});
    Net net;
    torch::optim::SGD none(net->parameters(), 0);
    cddp::DistributedOptimizer optimizer(
        none, *net, {{"servers", server.address()}, {"push", "gradients"}, {"bucket_bytes", "256"}});
    for (int step = 0; step < 5; ++step) {
      optimizer.zero_grad();
      const torch::Tensor loss = LossOf(net, step);
      if (overlaps) {
        optimizer.backward(loss);
      } else {
        loss.backward();
      }
      EXPECT_EQ(optimizer.step(loss.item<double>()).step, static_cast<uint64_t>(step + 1));
    }
    optimizer.finish();
    return All(net);
  }

  std::optional<cddp::ServerProcess> server_;
};

TEST_F(TorchTest, PushingDuringTheBackwardPassChangesNothing) {
  const std::vector<torch::Tensor> after = TrainByGradients(/*overlaps=*/false);
  ExpectEqual(after, TrainByGradients(/*overlaps=*/true));
  Net untrained;
  EXPECT_FALSE(torch::equal(after[2], All(untrained)[2])) << "of the first layer";
}

TEST_F(TorchTest, ALossThatIsNotFiniteIsAStepThatNobodyMakes) {
  Net net;
  torch::optim::SGD none(net->parameters(), 0);
  cddp::DistributedOptimizer optimizer(none, *net, {Servers(), {"push", "gradients"}});
  const std::vector<torch::Tensor> before = All(net);
  optimizer.backward(net->last->weight.sum() * NAN);
  EXPECT_EQ(optimizer.step().refused, 1u);
  ExpectEqual(All(net), before);
}

TEST_F(TorchTest, AGraphMayOutliveTheOptimizer) {
  Net net;
  torch::optim::SGD none(net->parameters(), 0);
  torch::Tensor loss;
  {
    cddp::DistributedOptimizer optimizer(none, *net, {Servers(), {"push", "gradients"}});
    loss = LossOf(net, 1);
  }
  loss.backward();
}

// local_steps and overlap.
class StateTest : public ::testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(StateTest, AnyOptimizerOfTheProgramGoesOnFromAState) {
  const cddp::ServerProcess server({"--workers=1", "--lr=1", "--momentum=0", "--log_versions=50"});
  const OptionList options = {{"servers", server.address()},
                              {"local_steps", GetParam().first},
                              {"overlap", GetParam().second},
                              {"ratio", "0.2"},
                              {"run", "one"}};
  Net net;
  std::string state, own;
  std::vector<torch::Tensor> expected;
  {
    torch::optim::SGD sgd(net->parameters(), 0.05);
    cddp::DistributedOptimizer optimizer(sgd, *net, options);
    for (int step = 0; step < 11; ++step) {
      if (step == 5) state = optimizer.state();  // between two exchanges, or while one is under way
      optimizer.zero_grad();
      LossOf(net, step).backward();
      optimizer.step();
    }
    expected = All(net);
  }
  Net again;
  torch::optim::SGD sgd(again->parameters(), 0.05);
  cddp::DistributedOptimizer optimizer(sgd, *again, options);
  optimizer.load_state(state);
  for (int step = 5; step < 11; ++step) {
    optimizer.zero_grad();
    LossOf(again, step).backward();
    optimizer.step();
  }
  const std::vector<torch::Tensor> reached = All(again);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(torch::equal(expected[i], reached[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Rounds, StateTest,
                         ::testing::Values(std::pair("2", "0"), std::pair("4", "2"), std::pair("1", "1"),
                                           std::pair("auto", "0"), std::pair("auto", "3")),
                         [](const auto& made) { return made.param.first + "_overlap_" + made.param.second; });

TEST_F(TorchTest, AnExchangeUnderWayEndsWithTheEpoch) {
  const cddp::ServerProcess server({"--workers=1", "--lr=1", "--momentum=0", "--value_encoding=fp32"});
  Net net, alone;
  torch::optim::SGD sgd(net->parameters(), 0.05), other(alone->parameters(), 0.05);
  cddp::DistributedOptimizer optimizer(sgd, *net,
                                       {{"servers", server.address()},
                                        {"local_steps", "2"},
                                        {"overlap", "2"},
                                        {"ratio", "1"},
                                        {"value_encoding", "fp32"}});
  for (int step = 0; step < 5; ++step) {
    sgd.zero_grad();
    other.zero_grad();
    LossOf(net, step).backward();
    LossOf(alone, step).backward();
    EXPECT_EQ(optimizer.step().exchanged, step == 3 ? 1u : 0u) << step;
    other.step();
  }
  EXPECT_EQ(optimizer.client().Statistics().under_way, 1u);
  optimizer.exchange();
  EXPECT_EQ(optimizer.client().Statistics().under_way, 0u);
  EXPECT_EQ(optimizer.client().Statistics().exchanges, 3u);
  const std::vector<torch::Tensor> expected = All(alone), reached = All(net);  // one worker is ahead of nobody
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(torch::allclose(expected[i], reached[i], 0, 1e-5)) << i;
  optimizer.finish();
}

TEST_F(TorchTest, AModelOfAnotherTypeIsToldWhatToDo) {
  Net net;
  net->to(torch::kDouble);
  torch::optim::SGD sgd(net->parameters(), 0.1);
  try {
    const cddp::DistributedOptimizer optimizer(sgd, *net, {Servers()});
    ADD_FAILURE() << "it was taken";
  } catch (const cddp::Error& error) {
    EXPECT_EQ(error.code(), CDDP_UNIMPLEMENTED);
    EXPECT_THAT(error.what(), HasSubstr("convert the model first"));
  }
}

TEST_F(TorchTest, TheServersMessageIsTheExceptions) {
  Net net;
  torch::optim::SGD sgd(net->parameters(), 0.1);
  try {
    const cddp::DistributedOptimizer optimizer(sgd, *net, {Servers()});  // with a rate of 0.1 they do not average
    ADD_FAILURE() << "it was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("servers should average"));
  }
}

}  // namespace
