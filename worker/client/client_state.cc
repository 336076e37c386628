// A client's state as bytes.

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/agreement/agreement.h"
#include "common/clock/monotonic.h"
#include "common/codec/byte_io.h"
#include "worker/client/client.h"
#include "worker/client/client_settings.h"

namespace cddp {

absl::StatusOr<std::string> Client::State() {
  {
    MutexLock lock(mutex_);
    if (absl::Status status = Require(Phase::kBetweenSteps, "save_state"); !status.ok()) return status;
    if (awaits_answer()) {
      phase_ = Phase::kFinishing;
      waits_since_ = MonotonicNow();
    }
  }
  if (absl::Status status = AwaitAnswer(); !status.ok()) return Fail(status);
  MutexLock lock(mutex_);
  phase_ = Phase::kBetweenSteps;
  WorkerCheckpoint checkpoint;
  checkpoint.fingerprint = layout_.fingerprint();
  checkpoint.run = run_;
  checkpoint.flags = DescribeForState(options_);
  checkpoint.exchange = exchange_->State();
  absl::StatusOr<std::vector<float>> published = arrays_.Published();
  if (!published.ok()) return published.status();
  checkpoint.weights = *std::move(published);
  if (statistics_.local_steps > 0 || under_way_) {  // the program's own weights have changed since
    const absl::StatusOr<std::vector<float>> own = arrays_.Own();
    if (!own.ok()) return own.status();
    checkpoint.model.assign(reinterpret_cast<const char*>(own->data()), own->size() * sizeof(float));
  }
  if (options_.overlap > 0) checkpoint.optimizer = OverlapState();
  ByteWriter totals(&checkpoint.totals);
  totals.Put<uint64_t>(statistics_.local_steps);
  for (const int64_t* counter : counters_) totals.Put<int64_t>(*counter);
  std::string bytes;
  const absl::Status status = Append(checkpoint, [&bytes](absl::string_view part) {
    bytes.append(part.data(), part.size());
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return bytes;
}

absl::Status Client::Restore(absl::string_view state) {
  absl::StatusOr<WorkerCheckpoint> checkpoint = ParseCheckpoint(state, "the state");
  if (!checkpoint.ok()) return checkpoint.status();
  MutexLock lock(mutex_);
  if (phase_ != Phase::kBetweenSteps) {
    if (absl::Status status = Require(Phase::kJoined, "restore"); !status.ok()) return status;
  }
  if (has_stepped_) {
    return absl::FailedPreconditionError(
        "restore: this client has made steps already: join anew to go on from a state");
  }
  if (const std::string difference = DescribeFileDifference(checkpoint->flags, DescribeForState(options_), "client");
      !difference.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("restore: the state ", difference));
  }
  if (checkpoint->fingerprint != layout_.fingerprint() || checkpoint->weights.size() != layout_.total_elements()) {
    return absl::InvalidArgumentError("restore: the state is of another model or bucket length");
  }
  if (checkpoint->run != run_) {
    return absl::InvalidArgumentError(absl::StrCat("restore: the state is of run ", checkpoint->run,
                                                   ", but the servers train run ", run_,
                                                   ": start them with their --state_dir, or call start to take part in "
                                                   "this run without that state"));
  }
  // The servers' version when this client joined, or later.
  const uint64_t reached = std::max(cluster_->version(), statistics_.step);
  if (reached == 0 || (cluster_->is_sync() && reached < checkpoint->exchange.step)) {
    return absl::FailedPreconditionError(
        absl::StrCat("restore: the state is of step ", checkpoint->exchange.step, ", but the servers ",
                     cluster_->version() == 0 ? "begin anew" : absl::StrCat("are at ", reached),
                     ": start them with their --state_dir, or call start for a new training"));
  }
  if (absl::Status status = exchange_->SetState(checkpoint->exchange); !status.ok()) return status;
  const size_t own_bytes = checkpoint->weights.size() * sizeof(float);
  if (absl::Status status = arrays_.SetPublished(std::move(checkpoint->weights)); !status.ok()) return status;
  ByteReader totals(checkpoint->totals);
  const auto local_steps = totals.Get<uint64_t>();
  for (int64_t* counter : counters_) *counter = totals.Get<int64_t>();
  if (options_.overlap > 0) {
    if (absl::Status status = SetOverlapState(checkpoint->optimizer); !status.ok()) return status;
  }
  if ((local_steps > 0 || under_way_) && checkpoint->model.size() == own_bytes) {
    std::vector<float> own(layout_.total_elements());
    std::memcpy(own.data(), checkpoint->model.data(), own_bytes);
    if (absl::Status status = arrays_.SetOwn(std::move(own)); !status.ok()) return status;
  }
  statistics_.local_steps = local_steps;
  return BeginRounds();
}

}  // namespace cddp
