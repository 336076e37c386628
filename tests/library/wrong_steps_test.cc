// Calls out of order, numbers that are not finite, states of something else.

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/library/wrong_use.h"

namespace wrong_use {
namespace {

using ::testing::HasSubstr;

TEST_F(WrongUseTest, CallsOutOfOrder) {
  Model model;
  const Client client = Join(OptionsOf(), model);
  EXPECT_ERROR(cddp_begin(client.get(), nullptr), CDDP_FAILED_PRECONDITION, "start it, or restore a state, first");
  ASSERT_FINE(cddp_start(client.get()));
  EXPECT_ERROR(cddp_start(client.get()), CDDP_FAILED_PRECONDITION, "has started already");
  EXPECT_ERROR(cddp_ready(client.get(), 0, nullptr), CDDP_FAILED_PRECONDITION, "begin one first");
  EXPECT_ERROR(cddp_wait(client.get(), 0), CDDP_FAILED_PRECONDITION, "begin one first");
  EXPECT_ERROR(cddp_finish(client.get(), nullptr), CDDP_FAILED_PRECONDITION, "begin one first");
  EXPECT_ERROR(cddp_step(client.get(), nullptr, nullptr), CDDP_FAILED_PRECONDITION, "join with push=weights");
  ASSERT_FINE(cddp_begin(client.get(), nullptr));
  EXPECT_ERROR(cddp_begin(client.get(), nullptr), CDDP_FAILED_PRECONDITION, "finish it first");
  EXPECT_ERROR(cddp_finish(client.get(), nullptr), CDDP_FAILED_PRECONDITION,
               "2 of 2 tensors are not ready, among them 'bias'");
  EXPECT_ERROR(cddp_ready(client.get(), 2, nullptr), CDDP_INVALID_ARGUMENT, "there is no tensor 2");
  ASSERT_FINE(cddp_ready(client.get(), 1, nullptr));
  EXPECT_ERROR(cddp_ready(client.get(), 1, nullptr), CDDP_FAILED_PRECONDITION, "'bias' was ready already");
  EXPECT_ERROR(cddp_finish(client.get(), nullptr), CDDP_FAILED_PRECONDITION, "among them 'weights'");
  EXPECT_ERROR(cddp_wait(client.get(), 0.01), CDDP_DEADLINE_EXCEEDED, "still under way");
  size_t size = 0;
  EXPECT_ERROR(cddp_state_size(client.get(), &size), CDDP_FAILED_PRECONDITION, "finish it first");
  EXPECT_ERROR(cddp_leave(client.get(), 1), CDDP_FAILED_PRECONDITION, "finish it first");
  ASSERT_FINE(cddp_ready(client.get(), 0, nullptr));
  ASSERT_FINE(cddp_wait(client.get(), 60));
  ASSERT_FINE(cddp_finish(client.get(), nullptr));
  ASSERT_FINE(cddp_leave(client.get(), 1));
  EXPECT_ERROR(cddp_begin(client.get(), nullptr), CDDP_FAILED_PRECONDITION, "has left");
  EXPECT_ERROR(cddp_leave(client.get(), 1), CDDP_FAILED_PRECONDITION, "has left");
  cddp_statistics statistics = CDDP_STATISTICS_INIT;
  ASSERT_FINE(cddp_get_statistics(client.get(), &statistics));
  EXPECT_EQ(statistics.exchanges, 1u);
}

TEST_F(WrongUseTest, AStepMayBeLeft) {
  Model model;
  const Client client = Start(model);
  ASSERT_FINE(cddp_begin(client.get(), nullptr));
  ASSERT_FINE(cddp_leave(client.get(), 0));
}

// Calls `call` in a thread, and cancels once the client says that it is `under_way`. Returns what the call has said.
template <typename Call>
cddp_code CancelOnceUnderWay(cddp_client* client, const char* under_way, const Call& call) {
  cddp_code code = CDDP_OK;
  std::thread waiting([&] {
    code = call();
    EXPECT_THAT(cddp_error_message(), HasSubstr("cancelled"));
  });
  do {
    EXPECT_EQ(cddp_begin(client, nullptr), CDDP_FAILED_PRECONDITION);
  } while (std::string(cddp_error_message()).find(under_way) == std::string::npos);
  EXPECT_EQ(cddp_cancel(client), CDDP_OK);
  waiting.join();
  return code;
}

TEST_F(WrongUseTest, AnotherThreadMayEndAWait) {
  const cddp::ServerProcess server({"--workers=2", "--lr=1", "--momentum=0"});
  std::vector<Model> models(2);
  std::vector<Client> clients;
  for (const char* rank : {"0", "1"}) {
    clients.push_back(
        Join(MakeOptions({{"servers", server.address()}, {"workers", "2"}, {"rank", rank}}), models[clients.size()]));
  }
  std::thread other([&] { ASSERT_FINE(cddp_start(clients[1].get())); });
  ASSERT_FINE(cddp_start(clients[0].get()));
  other.join();
  cddp_client* const client = clients[0].get();
  ASSERT_FINE(cddp_cancel(client));  // nothing is under way
  ASSERT_FINE(cddp_begin(client, nullptr));
  for (const size_t tensor : {1, 0}) ASSERT_FINE(cddp_ready(client, tensor, nullptr));
  EXPECT_EQ(CancelOnceUnderWay(client, "is being finished", [&] { return cddp_finish(client, nullptr); }),
            CDDP_CANCELLED);
  EXPECT_ERROR(cddp_begin(client, nullptr), CDDP_FAILED_PRECONDITION, "this client is over");
  ASSERT_FINE(cddp_leave(client, 0));
}

TEST_F(WrongUseTest, AnotherThreadMayEndAStart) {
  const cddp::ServerProcess server({"--workers=2", "--lr=1", "--momentum=0"});
  Model model;
  const Client client = Join(MakeOptions({{"servers", server.address()}, {"workers", "2"}}), model);
  EXPECT_EQ(CancelOnceUnderWay(client.get(), "is being started", [&] { return cddp_start(client.get()); }),
            CDDP_CANCELLED);
  EXPECT_ERROR(cddp_start(client.get()), CDDP_FAILED_PRECONDITION, "this client is over");
}

TEST_F(WrongUseTest, GradientsOutsideTheArrayOfTheStep) {
  Model model;
  const Client client = Start(model);
  const float gradients[5] = {1, 1, 1, 1, 1};
  cddp_step_options options = CDDP_STEP_OPTIONS_INIT;
  options.gradients = gradients;
  ASSERT_FINE(cddp_begin(client.get(), &options));
  EXPECT_ERROR(cddp_ready(client.get(), 1, gradients), CDDP_INVALID_ARGUMENT, "lies outside the array");
  ASSERT_FINE(cddp_ready(client.get(), 1, gradients + 4));
  ASSERT_FINE(cddp_ready(client.get(), 0, nullptr));
  ASSERT_FINE(cddp_finish(client.get(), nullptr));
  EXPECT_EQ(model.bias, -0.5f);
  EXPECT_EQ(model.weights[0], 0);
}

TEST_F(WrongUseTest, WhatIsNotFiniteIsRefused) {
  Model model;
  const Client client = Start(model);
  const std::vector<float> before = model.weights;
  cddp_step_options options = CDDP_STEP_OPTIONS_INIT;
  cddp_result result = CDDP_RESULT_INIT;
  options.loss = kNan;
  ASSERT_FINE(cddp_begin(client.get(), &options));
  ASSERT_FINE(cddp_finish(client.get(), &result)) << "no gradient is needed of a step that is refused";
  EXPECT_EQ(result.refused, 1u);
  EXPECT_EQ(model.weights, before);
  const float gradient[4] = {1, kNan, 1, 1};
  ASSERT_FINE(cddp_begin(client.get(), nullptr));
  ASSERT_FINE(cddp_ready(client.get(), 1, gradient));
  ASSERT_FINE(cddp_ready(client.get(), 0, gradient));
  ASSERT_FINE(cddp_finish(client.get(), &result));
  EXPECT_EQ(result.refused, 1u);
  EXPECT_EQ(model.weights, before);
}

TEST_F(WrongUseTest, WeightsThatAreNotFiniteAreSetBack) {
  Model model;
  const Client client = Start(model, {{"push", "weights"}});
  EXPECT_ERROR(cddp_ready(client.get(), 0, nullptr), CDDP_FAILED_PRECONDITION, "no step is under way");
  const std::vector<float> before = model.weights;
  cddp_result result = CDDP_RESULT_INIT;
  model.weights[2] = kNan;
  ASSERT_FINE(cddp_step(client.get(), nullptr, &result));
  EXPECT_EQ(result.refused, 1u);
  EXPECT_EQ(model.weights, before);
  model.weights[2] = 7;
  ASSERT_FINE(cddp_step(client.get(), nullptr, &result));
  EXPECT_EQ(result.refused, 0u);
  EXPECT_EQ(model.weights[2], 7);
}

TEST_F(WrongUseTest, StatesOfSomethingElse) {
  Model model;
  Client client = Start(model);
  size_t size = 0;
  ASSERT_FINE(cddp_state_size(client.get(), &size));
  std::string state(size, '\0');
  EXPECT_ERROR(cddp_save_state(client.get(), state.data(), size - 1, &size), CDDP_RESOURCE_EXHAUSTED, "are needed");
  ASSERT_FINE(cddp_save_state(client.get(), state.data(), state.size(), &size));
  std::string damaged = state;
  damaged[size / 2] ^= 1;
  EXPECT_ERROR(cddp_restore(client.get(), damaged.data(), size), CDDP_DATA_LOSS, "damaged");
  EXPECT_ERROR(cddp_restore(client.get(), state.data(), size / 2), CDDP_DATA_LOSS, "the state");
  EXPECT_ERROR(cddp_restore(client.get(), "", 0), CDDP_DATA_LOSS, "the state");
  ASSERT_FINE(cddp_restore(client.get(), state.data(), size)) << "before the first step it may be restored";
  ASSERT_FINE(cddp_begin(client.get(), nullptr));
  ASSERT_FINE(cddp_ready(client.get(), 0, nullptr));
  ASSERT_FINE(cddp_ready(client.get(), 1, nullptr));
  ASSERT_FINE(cddp_finish(client.get(), nullptr));
  EXPECT_ERROR(cddp_restore(client.get(), state.data(), size), CDDP_FAILED_PRECONDITION, "has made steps already");
  client = nullptr;
  Client other = Join(OptionsOf({{"ratio", "0.5"}}), model);
  EXPECT_ERROR(cddp_restore(other.get(), state.data(), size), CDDP_INVALID_ARGUMENT, "ratio=0.5");
  other = nullptr;
  server_ = nullptr;  // the next one begins anew
  Client anew = Join(OptionsOf(), model);
  EXPECT_ERROR(cddp_restore(anew.get(), state.data(), size), CDDP_FAILED_PRECONDITION, "servers begin anew");
  anew = nullptr;
  server_ = std::make_unique<cddp::ServerProcess>(std::vector<std::string>{"--lr=1", "--momentum=0", "--run=another"});
  Client stranger = Join(MakeOptions({{"servers", server_->address()}}), model);
  EXPECT_ERROR(cddp_restore(stranger.get(), state.data(), size), CDDP_INVALID_ARGUMENT,
               "the state is of run a-run, but the servers train run another");
}

}  // namespace
}  // namespace wrong_use
