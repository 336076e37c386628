// Servers that are not as the program thinks, or are gone.

#include <cstring>
#include <string>
#include <vector>

#include "tests/library/wrong_use.h"

namespace wrong_use {
namespace {

using ::testing::HasSubstr;

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

}  // namespace
}  // namespace wrong_use
