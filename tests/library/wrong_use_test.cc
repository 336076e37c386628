// What users of libcddp do wrong: each is one clear error, and what could go on does.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <clocale>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cddp/cddp.h"
#include "tests/fault/server_process.h"

namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The call fails with `code`, and the message has `text`.
#define EXPECT_ERROR(call, code, text)                  \
  do {                                                  \
    EXPECT_EQ(call, code) << cddp_error_message();      \
    EXPECT_THAT(cddp_error_message(), HasSubstr(text)); \
  } while (false)
#define ASSERT_FINE(call) ASSERT_EQ(call, CDDP_OK) << cddp_error_message()

struct DestroyOptions {
  void operator()(cddp_options* options) const { cddp_options_destroy(options); }
};
struct DestroyClient {
  void operator()(cddp_client* client) const { cddp_destroy(client); }
};
using Options = std::unique_ptr<cddp_options, DestroyOptions>;
using Client = std::unique_ptr<cddp_client, DestroyClient>;

Options MakeOptions(const std::vector<std::pair<std::string, std::string>>& values) {
  cddp_options* options = nullptr;
  EXPECT_EQ(cddp_options_create(&options), CDDP_OK);
  for (const auto& [name, value] : values) {
    EXPECT_EQ(cddp_options_set(options, name.c_str(), value.c_str()), CDDP_OK) << cddp_error_message();
  }
  return Options(options);
}

// Two tensors, apart from each other.
struct Model {
  std::vector<float> weights = {1, 2, 3, 4};
  float bias = 0.5;
  std::vector<int64_t> shape = {4};
  std::vector<cddp_tensor> tensors = {{sizeof(cddp_tensor), 0, 0, 1, shape.data(), "weights", weights.data()},
                                      {sizeof(cddp_tensor), 0, 0, 0, nullptr, "bias", &bias}};
};

class WrongUseTest : public ::testing::Test {
 protected:
  static constexpr char kRun[] = "a-run";
  const std::string& address(std::vector<std::string> flags = {}) {
    if (server_ == nullptr) {
      if (flags.empty()) flags = {"--lr=1", "--momentum=0"};
      flags.insert(flags.end(), {"--workers=1", std::string("--run=") + kRun});
      server_ = std::make_unique<cddp::ServerProcess>(flags);
    }
    return server_->address();
  }
  Options OptionsOf(std::vector<std::pair<std::string, std::string>> values = {}) {
    // One that knows the run takes the place of one that has not left.
    values.insert(values.begin(), {{"servers", address()}, {"run", kRun}});
    return MakeOptions(values);
  }
  Client Join(const Options& options, Model& model) {
    cddp_client* client = nullptr;
    EXPECT_EQ(cddp_join(options.get(), model.tensors.data(), model.tensors.size(), nullptr, &client), CDDP_OK)
        << cddp_error_message();
    return Client(client);
  }
  Client Start(Model& model, std::vector<std::pair<std::string, std::string>> values = {}) {
    Client client = Join(OptionsOf(std::move(values)), model);
    EXPECT_EQ(cddp_start(client.get()), CDDP_OK) << cddp_error_message();
    return client;
  }
  cddp_code JoinCode(const Options& options, Model& model) {
    cddp_client* client = nullptr;
    const cddp_code code = cddp_join(options.get(), model.tensors.data(), model.tensors.size(), nullptr, &client);
    cddp_destroy(client);
    return code;
  }

  std::unique_ptr<cddp::ServerProcess> server_;
};

TEST_F(WrongUseTest, NullPointersAreNamed) {
  Model model;
  cddp_client* client = nullptr;
  const Options options = MakeOptions({});
  size_t size = 0;
  EXPECT_ERROR(cddp_options_create(nullptr), CDDP_INVALID_ARGUMENT, "options is null");
  EXPECT_ERROR(cddp_options_set(nullptr, "ratio", "1"), CDDP_INVALID_ARGUMENT, "options is null");
  EXPECT_ERROR(cddp_options_set(options.get(), nullptr, "1"), CDDP_INVALID_ARGUMENT, "name is null");
  EXPECT_ERROR(cddp_options_set(options.get(), "ratio", nullptr), CDDP_INVALID_ARGUMENT, "value is null");
  EXPECT_ERROR(cddp_options_agree(options.get(), "a", nullptr), CDDP_INVALID_ARGUMENT, "value is null");
  EXPECT_ERROR(cddp_options_get(options.get(), "ratio", nullptr, 100, &size), CDDP_INVALID_ARGUMENT, "is null");
  EXPECT_ERROR(cddp_options_read_environment(nullptr), CDDP_INVALID_ARGUMENT, "options is null");
  EXPECT_ERROR(cddp_join(nullptr, model.tensors.data(), 2, nullptr, &client), CDDP_INVALID_ARGUMENT, "options is null");
  EXPECT_ERROR(cddp_join(options.get(), nullptr, 2, nullptr, &client), CDDP_INVALID_ARGUMENT, "tensors is null");
  EXPECT_ERROR(cddp_join(options.get(), model.tensors.data(), 2, nullptr, nullptr), CDDP_INVALID_ARGUMENT,
               "client is null");
  EXPECT_ERROR(cddp_start(nullptr), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_restore(nullptr, "", 0), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_begin(nullptr, nullptr), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_ready(nullptr, 0, nullptr), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_wait(nullptr, 1), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_finish(nullptr, nullptr), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_step(nullptr, nullptr, nullptr), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_state_size(nullptr, &size), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_save_state(nullptr, nullptr, 0, &size), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_get_statistics(nullptr, nullptr), CDDP_INVALID_ARGUMENT, "client is null");
  EXPECT_ERROR(cddp_leave(nullptr, 1), CDDP_INVALID_ARGUMENT, "client is null");
  cddp_destroy(nullptr);
  cddp_options_destroy(nullptr);
}

TEST_F(WrongUseTest, OptionsThatAreUnknownOrNotUnderstood) {
  const Options options = MakeOptions({});
  EXPECT_ERROR(cddp_options_set(options.get(), "ration", "1"), CDDP_NOT_FOUND, "did you mean 'ratio'?");
  EXPECT_ERROR(cddp_options_set(options.get(), "--ratio", "1"), CDDP_NOT_FOUND, "did you mean 'ratio'?");
  EXPECT_ERROR(cddp_options_set(options.get(), "ratio", "much"), CDDP_INVALID_ARGUMENT, "ratio=much");
  EXPECT_ERROR(cddp_options_set(options.get(), "rank", "-1"), CDDP_INVALID_ARGUMENT, "a number from 0, or auto");
  EXPECT_ERROR(cddp_options_set(options.get(), "push", "all"), CDDP_INVALID_ARGUMENT, "use gradients or weights");
  EXPECT_ERROR(cddp_options_set(options.get(), "servers", "host"), CDDP_INVALID_ARGUMENT, "host");
  EXPECT_ERROR(cddp_options_agree(options.get(), "batch size", "32"), CDDP_INVALID_ARGUMENT, "must be words");
  EXPECT_ERROR(cddp_options_agree(options.get(), "ratio", "1"), CDDP_INVALID_ARGUMENT, "is an option");
  size_t length = 0;
  char text[8];
  EXPECT_ERROR(cddp_options_get(options.get(), "push", text, sizeof(text), &length), CDDP_RESOURCE_EXHAUSTED,
               "8 bytes, but 10 are needed");
  EXPECT_EQ(length, std::strlen("gradients"));
  setenv("CDDP_RATIO", "lots", 1);
  EXPECT_ERROR(cddp_options_read_environment(options.get()), CDDP_INVALID_ARGUMENT, "variable CDDP_RATIO: ratio=lots");
  unsetenv("CDDP_RATIO");
}

TEST_F(WrongUseTest, EveryOptionHasHelpAndTakesItsOwnValue) {
  const Options options = MakeOptions({{"servers", "a:1,b:2"}});
  size_t count = 0;
  for (; cddp_option_name(count) != nullptr; ++count) {
    const char* name = cddp_option_name(count);
    char value[256];
    EXPECT_GT(std::strlen(cddp_option_help(count)), 10u) << name;
    ASSERT_FINE(cddp_options_get(options.get(), name, value, sizeof(value), nullptr)) << name;
    EXPECT_EQ(cddp_options_set(options.get(), name, value), CDDP_OK) << name << ": " << cddp_error_message();
  }
  EXPECT_GT(count, 20u);
  EXPECT_EQ(cddp_option_help(count), nullptr);
}

TEST_F(WrongUseTest, OptionsThatContradictEachOther) {
  Model model;
  EXPECT_ERROR(JoinCode(MakeOptions({}), model), CDDP_INVALID_ARGUMENT, "no servers");
  EXPECT_ERROR(JoinCode(OptionsOf({{"rank", "1"}}), model), CDDP_INVALID_ARGUMENT, "rank=1 is outside workers=1");
  EXPECT_ERROR(JoinCode(OptionsOf({{"ratio", "2"}}), model), CDDP_INVALID_ARGUMENT, "ratio=2 is outside (0, 1]");
  EXPECT_ERROR(JoinCode(OptionsOf({{"local_steps", "2"}}), model), CDDP_INVALID_ARGUMENT, "needs push=weights");
  EXPECT_ERROR(JoinCode(OptionsOf({{"local_steps", "0"}}), model), CDDP_INVALID_ARGUMENT, "at least 1");
  EXPECT_ERROR(JoinCode(OptionsOf({{"push", "weights"}, {"clip_norm", "1"}}), model), CDDP_INVALID_ARGUMENT,
               "clip before your optimizer's step");
  EXPECT_ERROR(JoinCode(OptionsOf({{"model", "my model"}}), model), CDDP_INVALID_ARGUMENT, "must be a word");
  EXPECT_ERROR(JoinCode(OptionsOf({{"token_file", "/nowhere"}}), model), CDDP_NOT_FOUND, "/nowhere");
}

TEST_F(WrongUseTest, TensorsThatMakeNoSense) {
  const Options options = OptionsOf();
  cddp_client* client = nullptr;
  const auto join = [&](const Model& model) {
    return cddp_join(options.get(), model.tensors.data(), model.tensors.size(), nullptr, &client);
  };
  EXPECT_ERROR(cddp_join(options.get(), nullptr, 0, nullptr, &client), CDDP_INVALID_ARGUMENT, "there are no tensors");
  Model nameless;
  nameless.tensors[1].name = nullptr;
  EXPECT_ERROR(join(nameless), CDDP_INVALID_ARGUMENT, "tensor 1 has no name");
  Model half;
  half.tensors[0].type = 7;
  EXPECT_ERROR(join(half), CDDP_UNIMPLEMENTED, "tensor 0 ('weights') has type 7");
  Model strange;
  strange.tensors[0].kind = 5;
  EXPECT_ERROR(join(strange), CDDP_UNIMPLEMENTED, "tensor 0 ('weights') has kind 5");
  Model nothing_learnt;
  for (cddp_tensor& tensor : nothing_learnt.tensors) tensor.kind = CDDP_BUFFER;
  EXPECT_ERROR(join(nothing_learnt), CDDP_INVALID_ARGUMENT, "at least one parameter");
  Model nowhere;
  nowhere.tensors[0].data = nullptr;
  EXPECT_ERROR(join(nowhere), CDDP_INVALID_ARGUMENT, "'weights' has no memory");
  Model negative;
  negative.shape[0] = -4;
  EXPECT_ERROR(join(negative), CDDP_INVALID_ARGUMENT, "weights[-4]");
  Model shapeless;
  shapeless.tensors[0].shape = nullptr;
  EXPECT_ERROR(join(shapeless), CDDP_INVALID_ARGUMENT, "1 dimensions and no shape");
  Model twins;
  twins.tensors[1].name = "weights";
  EXPECT_ERROR(join(twins), CDDP_INVALID_ARGUMENT, "two tensors are named 'weights'");
  Model tied;
  tied.tensors[1].data = &tied.weights[3];
  EXPECT_ERROR(join(tied), CDDP_ALREADY_EXISTS, "'weights' and 'bias' share memory: give a tied parameter once");
}

TEST_F(WrongUseTest, StructsOfOtherVersions) {
  Model model;
  const Options options = OptionsOf();
  cddp_client* joined = nullptr;
  model.tensors[0].struct_size = 8;
  EXPECT_ERROR(cddp_join(options.get(), model.tensors.data(), 2, nullptr, &joined), CDDP_INVALID_ARGUMENT,
               "struct_size is 8, but must be at least 40");
  model.tensors[0].struct_size = sizeof(cddp_tensor);
  const Client client = Start(model);
  cddp_step_options unset = {};
  EXPECT_ERROR(cddp_begin(client.get(), &unset), CDDP_INVALID_ARGUMENT, "struct_size is 0");
  struct {
    cddp_step_options known = CDDP_STEP_OPTIONS_INIT;
    uint64_t later = 0;
  } larger;
  larger.known.struct_size = sizeof(larger);
  larger.later = 1;
  EXPECT_ERROR(cddp_begin(client.get(), &larger.known), CDDP_UNIMPLEMENTED, "earlier version than the program");
  larger.later = 0;
  ASSERT_FINE(cddp_begin(client.get(), &larger.known));
  const float gradient[4] = {1, 1, 1, 1};
  ASSERT_FINE(cddp_ready(client.get(), 1, gradient));
  ASSERT_FINE(cddp_ready(client.get(), 0, gradient));
  struct {
    cddp_result known = CDDP_RESULT_INIT;
    uint64_t later = 42;
  } result;
  result.known.struct_size = 4;
  EXPECT_ERROR(cddp_finish(client.get(), &result.known), CDDP_INVALID_ARGUMENT, "result's struct_size is 4");
  result.known.struct_size = sizeof(result);
  ASSERT_FINE(cddp_finish(client.get(), &result.known));
  EXPECT_EQ(result.known.struct_size, sizeof(result));
  EXPECT_EQ(result.known.step, 1u);
  EXPECT_EQ(result.later, 42u);
}

TEST_F(WrongUseTest, ASecondClientOfTheSameTensorsOrRank) {
  Model model;
  const Client first = Start(model);
  EXPECT_ERROR(JoinCode(OptionsOf(), model), CDDP_ALREADY_EXISTS, "of another client of this process");
  Model other;
  EXPECT_ERROR(JoinCode(OptionsOf(), other), CDDP_ALREADY_EXISTS, "as rank 0 already");
  ASSERT_FINE(cddp_leave(first.get(), 0));
  EXPECT_EQ(JoinCode(OptionsOf(), model), CDDP_OK) << "a client that has left gives its tensors back";
}

TEST_F(WrongUseTest, WhatTheServersDoNotHave) {
  Model model;
  const Options options = OptionsOf();
  ASSERT_FINE(cddp_options_agree(options.get(), "batch_size", "32"));
  const Client first = Join(options, model);
  ASSERT_FINE(cddp_start(first.get()));
  ASSERT_FINE(cddp_leave(first.get(), 0));
  Model longer;
  longer.weights.resize(5);
  longer.shape[0] = 5;
  longer.tensors[0].data = longer.weights.data();
  EXPECT_ERROR(JoinCode(options, longer), CDDP_INVALID_ARGUMENT, "weights[5]");
  EXPECT_THAT(cddp_error_message(), HasSubstr("weights[4]"));
  const Options others = OptionsOf();
  ASSERT_FINE(cddp_options_agree(others.get(), "batch_size", "64"));
  EXPECT_ERROR(JoinCode(others, model), CDDP_INVALID_ARGUMENT, "batch_size=64");
  EXPECT_ERROR(JoinCode(OptionsOf({{"push", "weights"}}), model), CDDP_INVALID_ARGUMENT, "push=weights");
  EXPECT_ERROR(JoinCode(OptionsOf({{"workers", "2"}}), model), CDDP_INVALID_ARGUMENT, "2");
}

TEST_F(WrongUseTest, ServersWithAnotherOptimizerThanIsRight) {
  Model model;
  address({"--optimizer=adam", "--lr=0.01"});
  EXPECT_ERROR(JoinCode(OptionsOf(), model), CDDP_INVALID_ARGUMENT, "would be lost to Adam");
  server_ = nullptr;  // the first that joins decides what all must have alike
  address({"--optimizer=adam", "--lr=0.01"});
  EXPECT_ERROR(JoinCode(OptionsOf({{"push", "weights"}}), model), CDDP_INVALID_ARGUMENT, "servers should average");
}

TEST_F(WrongUseTest, ServersOutOfReach) {
  Model model;
  const Options options = MakeOptions({{"servers", "127.0.0.1:1"}, {"server_timeout", "200ms"}});
  EXPECT_ERROR(JoinCode(options, model), CDDP_UNAVAILABLE, "127.0.0.1:1");
}

void Collect(void* lines, cddp_log_level level, const char* line) {
  static_cast<std::vector<std::string>*>(lines)->push_back(std::to_string(level) + " " + line);
}

TEST_F(WrongUseTest, TheLogGoesToTheCallbackAndNowhereElse) {
  Model model;
  const Options options = MakeOptions({{"servers", "127.0.0.1:1"}, {"server_timeout", "200ms"}});
  std::vector<std::string> lines;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  cddp_set_log(Collect, &lines, CDDP_INFO);
  EXPECT_EQ(JoinCode(options, model), CDDP_UNAVAILABLE);
  cddp_set_log(Collect, &lines, CDDP_ERROR);
  EXPECT_EQ(JoinCode(options, model), CDDP_UNAVAILABLE);
  cddp_set_log(nullptr, nullptr, CDDP_DEBUG);
  EXPECT_EQ(JoinCode(options, model), CDDP_UNAVAILABLE);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines.front(), HasSubstr("1 event=waiting_for_server server=127.0.0.1:1"));
}

TEST_F(WrongUseTest, AServerThatGoesInAStep) {
  Model model;
  const Client client = Start(model, {{"server_timeout", "300ms"}});
  server_->Kill();
  ASSERT_FINE(cddp_begin(client.get(), nullptr));
  ASSERT_FINE(cddp_ready(client.get(), 0, nullptr));
  ASSERT_FINE(cddp_ready(client.get(), 1, nullptr));
  EXPECT_ERROR(cddp_finish(client.get(), nullptr), CDDP_UNAVAILABLE, address());
  EXPECT_ERROR(cddp_begin(client.get(), nullptr), CDDP_FAILED_PRECONDITION, "this client is over");
  size_t size = 0;
  EXPECT_ERROR(cddp_state_size(client.get(), &size), CDDP_FAILED_PRECONDITION, "this client is over");
  EXPECT_EQ(cddp_leave(client.get(), 1), CDDP_OK);
}

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

TEST_F(WrongUseTest, MemoryAndFlagsThatThisBuildDoesNotKnow) {
  Model model;
  const Options options = OptionsOf();
  cddp_client* joined = nullptr;
  cddp_memory memory = CDDP_MEMORY_INIT;
  memory.kind = 9;
  EXPECT_ERROR(cddp_join(options.get(), model.tensors.data(), 2, &memory, &joined), CDDP_UNIMPLEMENTED, "kind 9");
  const Client client = Start(model);
  cddp_step_options step = CDDP_STEP_OPTIONS_INIT;
  step.flags = 0x100;
  EXPECT_ERROR(cddp_begin(client.get(), &step), CDDP_UNIMPLEMENTED, "flags 256");
  step.flags = 0;
  for (const double weight : {-1.0, 1e-30, 1e30, std::nan("")}) {
    step.weight = weight;
    EXPECT_ERROR(cddp_begin(client.get(), &step), CDDP_INVALID_ARGUMENT, "it must be above 0");
  }
}

TEST_F(WrongUseTest, TensorsWithoutElementsTakeNoPart) {
  Model model;
  const int64_t none[2] = {0, 4};
  model.tensors.push_back({sizeof(cddp_tensor), 0, 0, 2, none, "empty", nullptr});
  const Client client = Start(model);
  ASSERT_FINE(cddp_begin(client.get(), nullptr));
  const float gradient[4] = {1, 1, 1, 1};
  for (const size_t tensor : {2, 1, 0}) ASSERT_FINE(cddp_ready(client.get(), tensor, gradient));
  ASSERT_FINE(cddp_finish(client.get(), nullptr));
  EXPECT_EQ(model.bias, -0.5f);
}

// Runs in the child of a fork; returns 0 if all is as it should be, else the number of the check that failed.
int UseInChild(cddp_client* client, const Options& options, Model& model) {
  if (cddp_begin(client, nullptr) != CDDP_FAILED_PRECONDITION) return 1;
  if (std::strstr(cddp_error_message(), "before the process forked") == nullptr) return 2;
  if (cddp_leave(client, 1) != CDDP_FAILED_PRECONDITION) return 3;
  cddp_destroy(client);  // gives nothing back, and does not hang
  cddp_client* other = nullptr;
  if (cddp_join(options.get(), model.tensors.data(), 2, nullptr, &other) != CDDP_FAILED_PRECONDITION) return 4;
  if (std::strstr(cddp_error_message(), "had joined before it forked") == nullptr) return 5;
  return 0;
}

TEST_F(WrongUseTest, AfterForkTheChildIsToldAndTheParentGoesOn) {
  Model model;
  const Options options = OptionsOf();
  const Client client = Join(options, model);
  ASSERT_FINE(cddp_start(client.get()));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(30);
    _exit(UseInChild(client.get(), options, model));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_FINE(cddp_begin(client.get(), nullptr));
  ASSERT_FINE(cddp_ready(client.get(), 0, nullptr));
  ASSERT_FINE(cddp_ready(client.get(), 1, nullptr));
  ASSERT_FINE(cddp_finish(client.get(), nullptr));
}

TEST_F(WrongUseTest, TheHostsProcessIsLeftAsItWas) {
  struct sigaction before[32], after[32];
  for (int signal = 1; signal <= 31; ++signal) sigaction(signal, nullptr, &before[signal]);
  std::string environment, environment_after;
  for (char** variable = environ; *variable != nullptr; ++variable) environment += *variable;
  const std::string locale = setlocale(LC_ALL, nullptr);
  Model model;
  Client client = Start(model);
  client = nullptr;
  for (int signal = 1; signal <= 31; ++signal) {
    sigaction(signal, nullptr, &after[signal]);
    EXPECT_EQ(before[signal].sa_handler, after[signal].sa_handler) << "signal " << signal;
  }
  for (char** variable = environ; *variable != nullptr; ++variable) environment_after += *variable;
  EXPECT_EQ(environment_after, environment);
  EXPECT_EQ(setlocale(LC_ALL, nullptr), locale);
}

}  // namespace
