#include "tests/fault/server_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

namespace cddp {

void ServerProcess::Kill() {
  if (pid_ < 0) return;
  Signal(SIGKILL);
  Wait();
}

void ServerProcess::Signal(int signal) { kill(pid_, signal); }

int ServerProcess::Wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

void ServerProcess::Start() {
  std::vector<std::string> words = {CDDP_BIN "/cddp-server",
                                    "--listen=" + (address_.empty() ? "127.0.0.1:0" : address_),
                                    "--metrics_listen=", "--progress=json"};
  words.insert(words.end(), flags_.begin(), flags_.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pid_ = fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(ends[1]);
  FILE* output = fdopen(ends[0], "r");
  char line[4096] = "";
  ASSERT_NE(fgets(line, sizeof(line), output), nullptr) << "cddp-server did not start";
  fclose(output);
  address_ = nlohmann::json::parse(line).at("address").get<std::string>();
}

}  // namespace cddp
