// All settings of servers and workers, each once: who must have it alike, and whether it must be the same after a
// restart. This list determines the settings that journals and checkpoints record, those that are compared when a
// worker joins, and those that `cddp train` passes on to the programs (server/server_settings.cc and
// worker/trainer/worker_settings.cc bind the names to members of the options; a name without one, or a member without a
// name, fails a test).

#ifndef COMMON_AGREEMENT_SETTINGS_H_
#define COMMON_AGREEMENT_SETTINGS_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cddp {

// Who must have a setting alike.
enum class Agree {
  kNobody,  // each process may have its own
  kAll,     // all processes of the same kind: all servers among themselves, all workers among themselves
};

// Whether a process that continues from a journal or checkpoint must have the same value as the one that wrote it.
enum class Over { kRestart, kNothing };

struct Setting {
  absl::string_view name;  // a flag, "--lr", or a fact that processes find out, "data_crc32c"
  Agree agree = Agree::kNobody;
  Over same_over = Over::kNothing;
};

// In the order in which they are described.
absl::Span<const Setting> ServerSettings();
absl::Span<const Setting> WorkerSettings();

// Whether the workers' setting of that name must be the same after a restart. An unknown setting must.
bool IsKept(absl::string_view name);

}  // namespace cddp

#endif  // COMMON_AGREEMENT_SETTINGS_H_
