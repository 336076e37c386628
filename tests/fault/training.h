// A small training that is quick to repeat: its workers are threads of the test, its servers processes of their own.

#ifndef TESTS_FAULT_TRAINING_H_
#define TESTS_FAULT_TRAINING_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

inline constexpr uint32_t kTrainingWorkers = 3;

ParameterLayout TrainingLayout();

// Of cddp-server, besides its addresses and --state_dir.
std::vector<std::string> TrainingServerFlags(uint32_t shard, uint32_t shards);

struct TrainingOptions {
  std::vector<std::string> addresses;  // of the servers
  uint64_t steps = 150;
  absl::Duration server_timeout = absl::Seconds(60);
  std::vector<absl::Status>* errors = nullptr;  // where workers' errors go, by rank; null: they are the test's failures
};

// Trains all workers; calls `disturb` meanwhile, with the count of steps that they have made together. Returns the
// weights by rank, empty for those with an error.
std::vector<std::vector<float>> Train(const TrainingOptions& options,
                                      const std::function<void(const std::atomic<uint64_t>& done_steps)>& disturb);

// Waits until that many steps have been made, or the test has failed.
void AwaitSteps(const std::atomic<uint64_t>& done_steps, uint64_t steps);

}  // namespace cddp

#endif  // TESTS_FAULT_TRAINING_H_
