// The disk of one simulated machine, with one folder, whatever its name. It knows what was synced; a loss of power
// takes of the rest what it likes. It can be slow, stand still, be full, fail its next sync, and flip a bit.

#ifndef TESTS_SIMULATION_DISK_H_
#define TESTS_SIMULATION_DISK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/journal/file_layer.h"
#include "tests/simulation/runtime/kernel.h"

namespace cddp::simulation {

class Disk {
 public:
  explicit Disk(uint64_t seed) : random_(seed) {}

  // What `process` sees of it; both must outlive that. Once the process is dead, every call fails and does nothing.
  std::unique_ptr<FileLayer> Mount(Process* process);

  // The machine's memory is lost, with what was not synced. No process that has mounted the disk may be alive.
  void LosePower();
  void set_full(bool full) { full_ = full; }
  void StandStillUntil(absl::Duration time) { still_until_ = time; }
  void FailNextSync(bool fail) { fail_sync_ = fail; }
  void set_sync_time(absl::Duration time) { sync_time_ = time; }
  // Keeps a loss of power the order in which names came and went, as file systems with a journal do?
  void set_orders_names(bool orders) { orders_names_ = orders; }
  void Heal();
  // Somebody empties the folder. No process that has mounted the disk may be alive.
  void RemoveAll();

  // Calls `then` when the next call of that kind begins, once.
  enum class Operation { kAppend, kSync, kCreate, kRename, kRemove, kSyncFolder, kOperations };
  void AtNext(Operation operation, std::function<void()> then) {
    awaited_ = operation;
    then_ = std::move(then);
  }

  // Flips a bit of some file, at a moment when no process has mounted the disk, and flips it back. False if there is
  // none.
  bool FlipBit();
  bool FlipBack();

 private:
  friend class MountedFiles;
  friend class OpenFile;
  struct Content {
    std::string bytes;
    uint64_t synced = 0;                                // leading bytes that a loss of power keeps
    std::string cut;                                    // synced bytes behind `bytes`, until the truncation is synced
    std::vector<std::pair<uint64_t, uint64_t>> failed;  // ranges that a sync failed to write, and no later one tries
    std::vector<std::pair<uint64_t, uint64_t>> again;   // of those, what the next one tries
    const Process* owner = nullptr;                     // locked by
  };
  using Names = std::map<std::string, std::shared_ptr<Content>>;

  // Time that a call takes; Unavailable once `process` is dead.
  absl::Status Take(Process* process, absl::Duration time);
  void Begin(Operation operation);
  void LoseNames();
  void NoteNames() { history_.emplace_back(++changes_, names_); }

  Random random_;
  Names names_;
  Names synced_names_;
  uint64_t boots_ = 0;
  uint64_t changes_ = 0;
  // By number of the change, since the folder was synced, oldest first: file systems journal names in order.
  std::deque<std::pair<uint64_t, Names>> history_;
  bool full_ = false;
  bool fail_sync_ = false;
  bool orders_names_ = true;
  Operation awaited_ = Operation::kOperations;
  std::function<void()> then_;
  std::shared_ptr<Content> flipped_;  // null: none is
  uint64_t flipped_bit_ = 0;
  absl::Duration still_until_;
  absl::Duration sync_time_ = absl::Milliseconds(1);
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_DISK_H_
