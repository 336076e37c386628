#include "common/config/passive_waiting.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

namespace cddp {
namespace {

bool IsSet() { return getenv("OMP_WAIT_POLICY") != nullptr || getenv("GOMP_SPINCOUNT") != nullptr; }

}  // namespace

void SetPassiveWaiting() {
  if (!IsSet()) setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
}

void StartWithPassiveWaiting(char** argv) {
  if (IsSet()) return;
  SetPassiveWaiting();
  // Uses the real path, which ps(1) shows as the process's name.
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length <= 0) return;
  path[length] = 0;
  execv(path, argv);  // returns only if it fails: then threads spin, as without this
}

}  // namespace cddp
