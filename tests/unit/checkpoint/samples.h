// A small checkpoint, and files as strings.

#ifndef TESTS_UNIT_CHECKPOINT_SAMPLES_H_
#define TESTS_UNIT_CHECKPOINT_SAMPLES_H_

#include <fstream>
#include <iterator>
#include <string>

#include "worker/checkpoint/checkpoint.h"

namespace cddp {

inline WorkerCheckpoint SampleCheckpoint(uint64_t step) {
  WorkerCheckpoint checkpoint;
  checkpoint.fingerprint = 0x1234567890abcdef;
  checkpoint.flags = "--model=mlp --seed=42";
  checkpoint.exchange = {step, {step, step + 1}, {0.01, {1.5f, -2, 1e-42f}, {0.5f, 0, 3}, {0.25f, 0}}};
  checkpoint.weights = {7, -0.0f, 9};
  checkpoint.model = std::string("buf\0fers", 8);
  checkpoint.optimizer = "inner";
  checkpoint.totals = "sums";
  return checkpoint;
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

}  // namespace cddp

#endif  // TESTS_UNIT_CHECKPOINT_SAMPLES_H_
