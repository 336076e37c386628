// What two workers over libcddp come to together.

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cddp/cddp.hpp"
#include "tests/fault/server_process.h"

namespace {

// One worker's model: two parameters, which may lie next to each other, with a buffer between them in its order.
struct Model {
  std::vector<float> memory = {1, 1, 1, 0, 0, 0};
  float buffer = 0;
  bool has_buffer = false;
  bool apart = true;

  std::vector<cddp::Tensor> Tensors() {
    std::vector<cddp::Tensor> tensors = {{"a", {3}, memory.data()}};
    if (has_buffer) tensors.push_back({"mean", {}, &buffer, CDDP_BUFFER});
    tensors.push_back({"b", {2}, memory.data() + (apart ? 4 : 3)});
    return tensors;
  }
  std::vector<float> Parameters() const {
    std::vector<float> all(memory.begin(), memory.begin() + 3);
    const auto b = memory.begin() + (apart ? 4 : 3);
    all.insert(all.end(), b, b + 2);
    return all;
  }
};

// What a worker does in a step, by rank.
using Step = void (*)(cddp::Client& client, Model& model, int rank);

class ExchangeTest : public ::testing::Test {
 protected:
  // Both workers make `steps` steps; returns their models.
  std::vector<Model> Run(const Model& model, Step step, int steps = 1, const std::string& push = "gradients") {
    const cddp::ServerProcess server({"--workers=2", "--lr=1", "--momentum=0"});
    std::vector<Model> models(2, model);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, rank] {
        cddp::Client client(cddp::Options({{"servers", server.address()},
                                           {"workers", "2"},
                                           {"rank", std::to_string(rank)},
                                           {"push", push},
                                           {"ratio", "1"},
                                           {"value_encoding", "fp32"}}),
                            models[rank].Tensors());
        client.Start();
        for (int i = 0; i < steps; ++i) step(client, models[rank], rank);
        client.Leave();
      });
    }
    for (std::thread& thread : threads) thread.join();
    return models;
  }
};

// A step with gradients of one value for all elements.
void StepWith(cddp::Client& client, size_t tensors, const cddp_step_options& options, float value) {
  const std::vector<float> gradient(3, value);
  client.Begin(options);
  for (size_t i = tensors; i > 0; --i) client.Ready(i - 1, gradient.data());
  client.Finish();
}

const std::vector<float> kMinusOne = {-1, -1, -1, -2, -2};

TEST_F(ExchangeTest, TheMeanIsWeighted) {
  const std::vector<Model> models = Run({}, [](cddp::Client& client, Model&, int rank) {
    cddp_step_options options = CDDP_STEP_OPTIONS_INIT;
    options.weight = rank == 0 ? 48 : 16;
    StepWith(client, 2, options, rank == 0 ? 1 : 5);  // 2 in the mean
  });
  for (const Model& model : models) EXPECT_EQ(model.Parameters(), kMinusOne);
}

TEST_F(ExchangeTest, AWorkerWithoutExamplesLeavesTheMeanToTheOthers) {
  const std::vector<Model> models = Run({}, [](cddp::Client& client, Model&, int rank) {
    cddp_step_options options = CDDP_STEP_OPTIONS_INIT;
    if (rank == 0) return StepWith(client, 2, options, 2);
    options.flags = CDDP_STEP_EMPTY;
    client.Begin(options);
    client.Finish();
  });
  for (const Model& model : models) {
    for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(model.Parameters()[i], kMinusOne[i], 1e-6);
  }
}

TEST_F(ExchangeTest, BuffersAreAveragedWhereGradientsArePushed) {
  Model model;
  model.has_buffer = true;
  const auto step = [](cddp::Client& client, Model& mine, int rank) {
    EXPECT_EQ(client.Statistics().in_place, mine.apart ? 0u : 1u);
    mine.buffer += rank == 0 ? 2 : 4;  // as a forward pass does
    StepWith(client, 3, CDDP_STEP_OPTIONS_INIT, 1);
  };
  for (const bool apart : {true, false}) {
    model.apart = apart;
    for (const Model& after : Run(model, step, /*steps=*/2)) {
      EXPECT_EQ(after.buffer, 6) << apart;
      EXPECT_EQ(after.Parameters(), kMinusOne) << apart;
    }
  }
}

TEST_F(ExchangeTest, BuffersAreAveragedWhereWeightsArePushed) {
  Model model;
  model.has_buffer = true;
  const auto step = [](cddp::Client& client, Model& mine, int rank) {
    mine.buffer += rank == 0 ? 2 : 4;
    for (float& weight : mine.memory) weight -= rank == 0 ? 0.5f : 1.5f;
    client.Step();
  };
  for (const Model& after : Run(model, step, /*steps=*/2, "weights")) {
    EXPECT_EQ(after.buffer, 6);
    EXPECT_EQ(after.Parameters(), kMinusOne);
  }
}

TEST_F(ExchangeTest, ABufferThatChangesInAStepSpoilsNothing) {
  Model model;
  model.has_buffer = true;
  model.apart = false;
  const auto step = [](cddp::Client& client, Model& mine, int rank) {
    const std::vector<float> together(5, 1);
    cddp_step_options options = CDDP_STEP_OPTIONS_INIT;
    options.gradients = together.data();
    mine.buffer += rank == 0 ? 2 : 4;
    client.Begin(options);
    mine.buffer += 100;  // as a forward pass that is computed again in the backward pass
    for (const size_t tensor : {2, 0}) client.Ready(tensor, nullptr);
    client.Finish();
  };
  for (const Model& after : Run(model, step, /*steps=*/2)) {
    EXPECT_EQ(after.buffer, 6);
    EXPECT_EQ(after.Parameters(), kMinusOne);
  }
}

TEST_F(ExchangeTest, CountersAreEachWorkersOwnAndGoOn) {
  const cddp::ServerProcess server({"--workers=1", "--lr=1", "--momentum=0", "--run=one"});
  Model model;
  int64_t counter = 0;
  const auto join = [&] {
    std::vector<cddp::Tensor> tensors = model.Tensors();
    tensors.emplace(tensors.begin(), "steps", &counter);
    return cddp::Client(cddp::Options({{"servers", server.address()}, {"workers", "1"}, {"run", "one"}}), tensors);
  };
  const auto step = [&](cddp::Client& client) {
    counter += 10;  // as a forward pass does
    client.Begin();
    for (const size_t tensor : {2, 0, 1}) client.Ready(tensor, model.memory.data());
    client.Finish();
  };
  std::string state;
  {
    cddp::Client client = join();
    client.Start();
    EXPECT_EQ(counter, 0);
    step(client);
    state = client.State();
    step(client);
    EXPECT_EQ(counter, 20);
  }
  {
    cddp::Client late = join();
    late.Start();
    EXPECT_EQ(counter, 2);  // steps of the training
  }
  cddp::Client restored = join();
  restored.Restore(state);
  EXPECT_EQ(counter, 10);
}

TEST_F(ExchangeTest, AWeightThatIsNotFiniteIsRefusedBesideTheNextStepsToo) {
  const cddp::ServerProcess server({"--workers=1", "--lr=1", "--momentum=0"});
  Model model;
  cddp::Client client(cddp::Options({{"servers", server.address()},
                                     {"workers", "1"},
                                     {"push", "weights"},
                                     {"overlap", "1"},
                                     {"ratio", "1"},
                                     {"value_encoding", "fp32"}}),
                      model.Tensors());
  client.Start();
  model.memory[0] = std::numeric_limits<float>::quiet_NaN();
  model.memory[1] += 1;
  EXPECT_EQ(client.Step().exchanged, 0u) << "it goes on";
  EXPECT_EQ(model.Parameters(), (std::vector<float>{1, 2, 1, 0, 0})) << "what is finite is expected to arrive";
  EXPECT_TRUE(client.Wait(60));
  EXPECT_EQ(client.Statistics().under_way, 1u);
  model.memory[2] += 1;
  const cddp_result result = client.Step();
  EXPECT_EQ(result.exchanged, 1u);
  EXPECT_EQ(result.refused, 1u);
  EXPECT_EQ(result.step, 1u);
  client.Begin();
  EXPECT_EQ(client.Finish().step, 2u);
  EXPECT_EQ(client.Statistics().under_way, 0u);
  EXPECT_EQ(model.Parameters(), (std::vector<float>{1, 1, 2, 0, 0})) << "the refused round is given up";
  client.Leave();
}

TEST_F(ExchangeTest, TensorsMayLieApartOrTogether) {
  const auto step = [](cddp::Client& client, Model& mine, int rank) {
    EXPECT_EQ(client.Statistics().in_place, mine.apart ? 0u : 1u);
    cddp_step_options options = CDDP_STEP_OPTIONS_INIT;
    const std::vector<float> together(5, rank == 0 ? 1.5f : 0.5f);
    if (!mine.apart) options.gradients = together.data();
    client.Begin(options);
    client.Ready(1, mine.apart ? together.data() : nullptr);
    client.Ready(0, mine.apart ? together.data() : nullptr);
    client.Finish();
  };
  Model model;
  for (const bool apart : {true, false}) {
    model.apart = apart;
    for (const Model& after : Run(model, step, /*steps=*/2)) EXPECT_EQ(after.Parameters(), kMinusOne) << apart;
  }
}

}  // namespace
