#include "tests/unit/ctl/run_cddp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cddp::ctl {

namespace fs = std::filesystem;

CddpFolder::CddpFolder() {
  // A copy, because cddp looks for its neighbours where its file really lies.
  fs::copy_file(CDDP_BINARY, folder_.File("cddp"));
  fs::create_symlink(absl::StrCat(CDDP_FAKES, "/fake_server"), folder_.File("cddp-server"));
  fs::create_symlink(absl::StrCat(CDDP_FAKES, "/fake_worker"), folder_.File("cddp-worker"));
  fs::create_directories(folder_.File("data/mnist"));
  // As much of a data set as cddp looks at.
  for (const auto& [name, kind] : {std::pair{"train-images-idx3", '\3'}, std::pair{"train-labels-idx1", '\1'},
                                   std::pair{"t10k-images-idx3", '\3'}, std::pair{"t10k-labels-idx1", '\1'}}) {
    std::ofstream(folder_.File(absl::StrCat("data/mnist/", name, "-ubyte")))
        << absl::string_view("\0\0\x08", 3) << kind << absl::string_view("\0\0\xea\x60", 4);  // 60000
  }
}

Finished CddpFolder::Run(const std::string& arguments, const std::string& environment) const {
  const std::string command = absl::StrCat("cd ", folder_.string(), " && exec env ", environment, " ./cddp ", arguments,
                                           " >stdout 2>stderr </dev/null");
  const int status = std::system(command.c_str());
  Finished finished;
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  finished.out = ReadFile(File("stdout"));
  finished.err = ReadFile(File("stderr"));
  return finished;
}

ChildProcess CddpFolder::Start(const std::string& arguments, const std::string& environment) const {
  sigset_t none;
  sigemptyset(&none);
  const std::string command =
      absl::StrCat("cd ", folder_.string(), " && exec env FAKE_PIDS=pids ", environment, " ./cddp ", arguments);
  absl::StatusOr<ChildProcess> child =
      ChildProcess::Spawn({"cddp", {"/bin/sh", "-c", command}, folder_.File("stderr")}, none);
  return *std::move(child);
}

std::string CddpFolder::LockHolder(absl::string_view output) const {
  return std::string(absl::StripAsciiWhitespace(ReadFile(File(absl::StrCat(output, "/lock")))));
}

std::vector<pid_t> CddpFolder::Pids() const {
  std::ifstream file(File("pids"));
  std::vector<pid_t> pids;
  for (pid_t pid; file >> pid;) pids.push_back(pid);
  return pids;
}

void ExpectRefused(const CddpFolder& folder, const BadInput& bad) {
  const Finished run = folder.Run(bad.arguments);
  EXPECT_EQ(run.exit_code, 2) << bad.arguments;
  EXPECT_THAT(run.err, ::testing::StartsWith("cddp: ")) << bad.arguments;
  EXPECT_THAT(run.err, ::testing::HasSubstr(bad.error)) << bad.arguments;
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_EQ(run.out, "") << bad.arguments;
}

char ProcessState(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string stat;
  // Not through stream iterators: they throw when the process ends between the opening and the reading.
  std::getline(file, stat);
  const size_t end_of_name = stat.rfind(") ");
  return end_of_name == std::string::npos ? '-' : stat[end_of_name + 2];
}

bool HasEnded(pid_t pid) {
  const char state = ProcessState(pid);
  return state == '-' || state == 'Z' || state == 'X';
}

}  // namespace cddp::ctl
