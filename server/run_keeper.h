// The run of a server's state, and the workers that may take part in it (common/agreement/run_identity.h).

#ifndef SERVER_RUN_KEEPER_H_
#define SERVER_RUN_KEEPER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/agreement/run_identity.h"
#include "common/sync/mutex.h"

namespace cddp {

// Thread-safe.
class RunKeeper {
 public:
  // `begins_anew`: may a run begin although workers of another one have come, which this server does not hold?
  explicit RunKeeper(bool begins_anew) : begins_anew_(begins_anew) {}

  // Of the run that this server holds; empty: none.
  std::string name() const;

  // Sets the server's run, from its flag or its journal.
  void Set(absl::string_view name);

  // May a call that says it is of run `run` be taken? Empty: yes. If this server holds another, Unavailable and marked
  // as kWrongServer (common/transport/status_marks.h): the worker had joined its own servers, and a name or an address
  // may lead here for a while. If it holds none, InvalidArgument, saying what to do. A server that holds none, or one
  // that its workers have just named, has lost its state then: it begins no run (see begins_anew) as long as it lives.
  absl::Status CheckCall(absl::string_view run);

  // A call is of this server's run, whose name it has by its flag, but nobody has ever joined it: likewise.
  absl::Status CallOfLostRun(absl::string_view run);

  // A worker joins, `alone` if no other takes part at present. `has_begun`: the server has weights. Returns true if the
  // worker's name for the run is the server's from now on. InvalidArgument, saying what to do, if it may not.
  absl::StatusOr<bool> Join(uint32_t rank, const RunIdentity& joiner, bool alone, bool has_begun);

 private:
  absl::Status Lost(absl::string_view whose, absl::string_view run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetLocked(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const bool begins_anew_;
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<const std::string>> names_ ABSL_GUARDED_BY(mutex_);  // all that it had; calls read them
  std::atomic<const std::string*> name_{nullptr};                                  // the last one; written under mutex_
  bool was_set_ ABSL_GUARDED_BY(mutex_) = false;                                   // not by workers
  std::string lost_ ABSL_GUARDED_BY(mutex_);  // a run whose workers have come, and which is not here
};

}  // namespace cddp

#endif  // SERVER_RUN_KEEPER_H_
