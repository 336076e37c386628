// The text of `cddp train`'s output: one function per kind of line.

#ifndef DEPLOY_CTL_TRAIN_TEXT_H_
#define DEPLOY_CTL_TRAIN_TEXT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/train_history.h"

namespace cddp::ctl {

// "simple_cnn on mnist: 4 workers, 2 servers, batch 4 x 64, ratio 0.01 (fp16, gap8)"
std::string DescribeJob(const TrainOptions& options);

// "simple_cnn has 1,199,882 parameters in 8 tensors and 19 buckets; 234 steps an epoch"
std::string DescribeModel(const JoinedEvent& model);

// One line for a finished epoch, in columns that stay aligned from epoch to epoch.
std::string EpochLine(const TrainOptions& options, const EpochSummary& epoch);

// The parts of the redrawn line, most important first.
std::vector<std::string> StepParts(const TrainOptions& options, const TrainHistory& history);

// The lines that end a successful run: accuracy, time and its parts, bytes against dense, checksum. File names
// are not among them. `history` holds at least one epoch.
std::vector<std::string> SummaryLines(const TrainOptions& options, const TrainHistory& history,
                                      const std::string& weights_crc32c, absl::Duration total);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_TRAIN_TEXT_H_
