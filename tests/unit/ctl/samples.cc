#include "tests/unit/ctl/samples.h"

#include <cmath>

namespace cddp::ctl {

TrainOptions SampleOptions(int epochs) {
  TrainOptions options;
  options.model = "simple_cnn";
  options.dataset = "mnist";
  options.data_dir = "data/mnist";
  options.workers = 2;
  options.servers = 3;
  options.epochs = epochs;
  options.batch_size = 64;
  options.lr = 0.05;
  options.momentum = 0.9;
  options.seed = 42;
  options.compress = true;
  options.ratio = 0.01;
  options.threads = 1;
  options.output = "out";
  return options;
}

EpochEvent SampleEpoch(int rank, int epoch) {
  EpochEvent event;
  event.rank = rank;
  event.epoch = epoch;
  event.steps = 100;
  event.train_loss = 1.0 / epoch;
  event.test_loss = rank == 0 ? 0.5 / epoch : NAN;
  event.test_accuracy = rank == 0 ? 1 - 0.1 / epoch : NAN;
  event.seconds = {2.0, 1.0, 0.1, 0.8, rank == 0 ? 0.5 : 0};
  event.pushed_bytes = 1'000'000;
  event.pulled_bytes = 2'000'000;
  event.dense_bytes = 100'000'000;
  return event;
}

TrainHistory SampleHistory(int epochs) {
  TrainHistory history(2);
  (void)history.Add(JoinedEvent{0, "simple_cnn", 250'000, 8, 16, 100, ""});
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    for (int rank : {1, 0}) (void)history.Add(SampleEpoch(rank, epoch));
  }
  return history;
}

}  // namespace cddp::ctl
