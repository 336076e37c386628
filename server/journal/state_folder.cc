#include "server/journal/state_folder.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace cddp {
namespace {

void Take(absl::string_view name, absl::string_view prefix, std::set<uint64_t>* numbers) {
  uint64_t number;
  if (absl::ConsumePrefix(&name, prefix) && absl::SimpleAtoi(name, &number)) numbers->insert(number);
}

}  // namespace

absl::StatusOr<StateFolder> ListStateFolder(FileLayer& files, const std::string& folder) {
  absl::StatusOr<std::vector<std::string>> names = files.List(folder);
  if (!names.ok()) return names.status();
  StateFolder state;
  for (const std::string& name : *names) {
    if (name == "journal") {
      return absl::FailedPreconditionError(
          absl::StrCat(folder, "/journal: was written by an older release: use that one, or an empty --state_dir"));
    }
    if (absl::EndsWith(name, kNewSuffix)) state.unfinished.insert(name);
    if (name == kUnsyncedName) state.unsynced = true;
    Take(name, "journal-", &state.segments);
    Take(name, "snapshot-", &state.snapshots);
    Take(name, "checkpoint-", &state.checkpoints);
  }
  return state;
}

}  // namespace cddp
