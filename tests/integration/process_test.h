// What tests of whole clusters through `cddp train` share: a small data set, a run's folder, and a shell.

#ifndef TESTS_INTEGRATION_PROCESS_TEST_H_
#define TESTS_INTEGRATION_PROCESS_TEST_H_

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/small_data_set.h"
#include "tests/support/temp_folder.h"

namespace cddp {

struct Outcome {
  int exit_code = -1;
  std::string output;  // standard output and error together
};

inline Outcome RunShell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(absl::StrCat(command, " 2>&1 </dev/null").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char piece[4096];
  for (size_t got; (got = fread(piece, 1, sizeof piece, pipe)) > 0;) outcome.output.append(piece, got);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

inline std::string Bin(const std::string& name) { return absl::StrCat(CDDP_BIN, "/", name); }

class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() { WriteSmallDataSet(data()); }

  std::filesystem::path data() const { return folder_ / "data"; }

  std::string Train(const std::string& flags, const std::string& output = "run") const {
    return absl::StrCat(Bin("cddp"), " train --data_dir=", data().string(), " --output=", (folder_ / output).string(),
                        " --model=mlp --epochs=2 --batch_size=16 ", flags);
  }

  nlohmann::json Report(const std::string& output = "run") const {
    std::ifstream file(folder_ / output / "report.json");
    return nlohmann::json::parse(file);
  }

  const TempFolder folder_;
};

}  // namespace cddp

#endif  // TESTS_INTEGRATION_PROCESS_TEST_H_
