// Arguments, options, tensors and structs that make no sense.

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "tests/library/wrong_use.h"

namespace wrong_use {
namespace {

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
  EXPECT_ERROR(cddp_note_step(nullptr, nullptr), CDDP_INVALID_ARGUMENT, "client is null");
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
  EXPECT_ERROR(JoinCode(OptionsOf({{"local_steps", "auto"}}), model), CDDP_INVALID_ARGUMENT, "needs push=weights");
  EXPECT_ERROR(JoinCode(OptionsOf({{"overlap", "1"}}), model), CDDP_INVALID_ARGUMENT, "needs push=weights");
  EXPECT_ERROR(JoinCode(OptionsOf({{"push", "weights"}, {"local_steps", "@file"}}), model), CDDP_INVALID_ARGUMENT,
               "use a number or auto");
  EXPECT_ERROR(JoinCode(OptionsOf({{"local_steps", "0"}}), model), CDDP_INVALID_ARGUMENT, "at least 1");
  EXPECT_ERROR(JoinCode(OptionsOf({{"push", "weights"}, {"clip_norm", "1"}}), model), CDDP_INVALID_ARGUMENT,
               "clip before your optimizer's step");
  EXPECT_ERROR(JoinCode(OptionsOf({{"model", "my model"}}), model), CDDP_INVALID_ARGUMENT, "must be a word");
  EXPECT_ERROR(JoinCode(OptionsOf({{"token_file", "/nowhere"}}), model), CDDP_NOT_FOUND, "/nowhere");
}

TEST_F(WrongUseTest, AnAdamWThatMakesNoSense) {
  std::vector<float> arrays(4, 1);
  const auto step = [&](const cddp_adamw& options) {
    return cddp_adamw_step(&options, 1, &arrays[0], &arrays[1], &arrays[2], &arrays[3]);
  };
  EXPECT_ERROR(cddp_adamw_step(nullptr, 1, nullptr, nullptr, nullptr, nullptr), CDDP_INVALID_ARGUMENT, "adamw is null");
  cddp_adamw options = CDDP_ADAMW_INIT;
  EXPECT_ERROR(cddp_adamw_step(&options, 1, nullptr, nullptr, nullptr, nullptr), CDDP_INVALID_ARGUMENT,
               "an array is null");
  ASSERT_FINE(cddp_adamw_step(&options, 0, nullptr, nullptr, nullptr, nullptr));
  options.step = 0;
  EXPECT_ERROR(step(options), CDDP_INVALID_ARGUMENT, "steps count from 1");
  options = CDDP_ADAMW_INIT;
  options.beta2 = 1;
  EXPECT_ERROR(step(options), CDDP_INVALID_ARGUMENT, "beta2=1");
  options = CDDP_ADAMW_INIT;
  options.lr = kNan;
  EXPECT_ERROR(step(options), CDDP_INVALID_ARGUMENT, "lr=nan");
  EXPECT_EQ(arrays, std::vector<float>(4, 1));
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
  Model uncounted;
  uncounted.tensors[1].kind = CDDP_COUNTER;
  EXPECT_ERROR(join(uncounted), CDDP_UNIMPLEMENTED, "tensor 1 ('bias') has type 0: counters are CDDP_INT64");
  uncounted.tensors[1].type = CDDP_INT64;
  uncounted.tensors[1].data = nullptr;
  EXPECT_ERROR(join(uncounted), CDDP_INVALID_ARGUMENT, "'bias' has no memory");
  int64_t counts[2] = {0, 0};
  const int64_t two[1] = {2};
  uncounted.tensors[1] = {sizeof(cddp_tensor), CDDP_COUNTER, CDDP_INT64, 1, two, "counts", counts};
  EXPECT_ERROR(join(uncounted), CDDP_INVALID_ARGUMENT, "must be one number");
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

// A program that was compiled with the header of 1.0 is told nothing that its struct has no room for.
TEST_F(WrongUseTest, StatisticsOfAnEarlierVersion) {
  Model model;
  const Client client = Start(model, {{"push", "weights"}, {"local_steps", "3"}});
  ASSERT_FINE(cddp_step(client.get(), nullptr, nullptr));
  cddp_statistics statistics = CDDP_STATISTICS_INIT;
  ASSERT_FINE(cddp_get_statistics(client.get(), &statistics));
  EXPECT_EQ(statistics.round_steps, 3u);
  statistics = CDDP_STATISTICS_INIT;
  statistics.struct_size = offsetof(cddp_statistics, round_steps);
  statistics.round_steps = 42;
  ASSERT_FINE(cddp_get_statistics(client.get(), &statistics));
  EXPECT_EQ(statistics.struct_size, 128u) << "what it was in 1.0";
  EXPECT_EQ(statistics.local_steps, 1u);
  EXPECT_EQ(statistics.round_steps, 42u);
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

}  // namespace
}  // namespace wrong_use
