#include "tests/fault/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace cddp {

uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

Child::Child(const std::string& program, const std::vector<std::string>& flags, const std::string& output,
             const std::string& errors) {
  std::vector<std::string> words = {std::string(CDDP_BIN "/") + program};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int fd = STDOUT_FILENO;
  for (const std::string& path : {output, errors}) {
    dup2(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644), fd);
    fd = STDERR_FILENO;
  }
  execv(argv[0], argv.data());
  _exit(127);
}

Child::~Child() { Kill(); }

void Child::Send(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

void Child::Kill() {
  Send(SIGKILL);
  Wait();
}

bool Child::HasEnded() {
  if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ < 0;
}

int Child::Wait() {
  if (pid_ > 0) waitpid(pid_, &status_, 0);
  pid_ = -1;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

std::string FileContent(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace cddp
