// The events that servers and workers print on standard output with --progress=json: one JSON object per line.
//
//   server  {"event":"listening","address":"127.0.0.1:40123","metrics_address":"127.0.0.1:40124"}
//   worker  joined -> step* -> epoch -> step* -> epoch ... -> done
//
// Unknown members are ignored, so that programs may report more than we read.

#ifndef DEPLOY_CTL_WORKER_EVENTS_H_
#define DEPLOY_CTL_WORKER_EVENTS_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp::ctl {

// Seconds one worker spent, summed since its epoch began.
struct PhaseSeconds {
  double step = 0;  // wall time of the steps: the next three and all other work
  double compute = 0;
  double compress = 0;
  double exchange = 0;
  double evaluate = 0;  // after the steps
};

struct ListeningEvent {
  std::string address;
  std::string metrics_address;
};

struct JoinedEvent {
  int rank = 0;
  std::string model;
  uint64_t parameters = 0;
  uint64_t tensors = 0;
  uint64_t buckets = 0;
  uint64_t steps_per_epoch = 0;
  std::string libtorch;  // version, empty if the worker does not say
};

struct StepEvent {
  int rank = 0;
  int epoch = 0;      // from 1
  uint64_t step = 0;  // done in this epoch
  double loss = 0;
  PhaseSeconds seconds;
  uint64_t pushed_bytes = 0;  // since the epoch began
  uint64_t pulled_bytes = 0;
};

struct EpochEvent {
  int rank = 0;
  int epoch = 0;               // from 1
  uint64_t steps = 0;          // in this epoch
  uint64_t refused_steps = 0;  // of these: skipped because a gradient was not finite
  double train_loss = 0;
  double test_loss = 0;  // test_*: NaN except at rank 0, which evaluates
  double test_accuracy = 0;
  PhaseSeconds seconds;
  uint64_t pushed_bytes = 0;
  uint64_t pulled_bytes = 0;
  uint64_t dense_bytes = 0;  // what dense float32 would have pushed; pulling it would cost the same
};

struct RatioEvent {  // --ratio=auto
  int rank = 0;
  uint64_t step = 0;  // the first step with this ratio
  double ratio = 0;
  std::string value_encoding;
};

struct LocalStepsEvent {  // --local_steps=auto
  int rank = 0;
  uint64_t exchange = 0;  // the first exchange whose round has this many steps
  uint64_t local_steps = 0;
};

struct DoneEvent {
  int rank = 0;
  std::string weights_crc32c;  // eight hexadecimal digits; the same at all workers
  uint64_t steps = 0;
};

// An event with an unknown name.
struct OtherEvent {
  std::string name;
};

using WorkerEvent = std::variant<ListeningEvent, JoinedEvent, StepEvent, EpochEvent, RatioEvent, LocalStepsEvent,
                                 DoneEvent, OtherEvent>;

// InvalidArgument says what is wrong with the line: not JSON, a member missing or of the wrong type.
absl::StatusOr<WorkerEvent> ParseWorkerEvent(absl::string_view line);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_WORKER_EVENTS_H_
