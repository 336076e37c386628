// A run as its folder describes it, finished or still running.

#ifndef DEPLOY_CTL_RUN_RECORD_H_
#define DEPLOY_CTL_RUN_RECORD_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace cddp::ctl {

struct EpochRecord {
  int epoch = 0;          // from 1
  double ended = 0;       // seconds of training and evaluation until then
  double train_loss = 0;  // NaN: not known, here and below
  double test_loss = 0;
  double test_accuracy = 0;  // 0 .. 1
};

struct RunRecord {
  std::string name;   // of the folder
  std::string state;  // "running", "finished", "failed", "interrupted"
  std::string error;
  double seconds = 0;  // from the start to the end
  std::map<std::string, std::string> configuration;
  std::vector<EpochRecord> epochs;  // empty for `cddp run`

  // Times of a worker's step, in milliseconds; 0: not known.
  double step_ms = 0;
  double compute_ms = 0;
  double compress_ms = 0;
  double exchange_ms = 0;

  // Bytes of a step (`cddp run`: of an exchange), all workers together; 0: not known.
  double pushed_bytes = 0;
  double pulled_bytes = 0;
  double dense_bytes = 0;  // each way

  uint64_t parameters = 0;
  std::string weights_crc32c;
};

// Reads the report.json of a run of `cddp train` or `cddp run` in `folder`, which may be the file itself.
// InvalidArgument, naming it, if there is none, or it is damaged.
absl::StatusOr<RunRecord> ReadRun(const std::string& folder);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_RUN_RECORD_H_
