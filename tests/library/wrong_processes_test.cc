// What a process does with several clients, with fork, and with itself.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <clocale>
#include <cstring>
#include <string>

#include "tests/library/wrong_use.h"

namespace wrong_use {
namespace {

TEST_F(WrongUseTest, ASecondClientOfTheSameTensorsOrRank) {
  Model model;
  const Client first = Start(model);
  EXPECT_ERROR(JoinCode(OptionsOf(), model), CDDP_ALREADY_EXISTS, "of another client of this process");
  Model other;
  EXPECT_ERROR(JoinCode(OptionsOf(), other), CDDP_ALREADY_EXISTS, "as rank 0 already");
  ASSERT_FINE(cddp_leave(first.get(), 0));
  EXPECT_EQ(JoinCode(OptionsOf(), model), CDDP_OK) << "a client that has left gives its tensors back";
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
}  // namespace wrong_use
