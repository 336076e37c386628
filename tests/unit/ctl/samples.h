// The events of a small run, as its workers would report them.

#ifndef TESTS_UNIT_CTL_SAMPLES_H_
#define TESTS_UNIT_CTL_SAMPLES_H_

#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/train_history.h"

namespace cddp::ctl {

// 2 workers, 3 servers, ratio 0.01, output in "out".
TrainOptions SampleOptions(int epochs);

// Both workers tell `epochs` epochs of 100 steps: a step is 20 ms, 10 of them compute, 1 compress, 8 exchange; it
// pushes 10 kB and pulls 20 kB of 1 MB a worker. Accuracy rises from 0.9, train loss falls from 1.
TrainHistory SampleHistory(int epochs);

EpochEvent SampleEpoch(int rank, int epoch);

}  // namespace cddp::ctl

#endif  // TESTS_UNIT_CTL_SAMPLES_H_
