// Files that are either there as a whole or as they were before.

#ifndef DEPLOY_CTL_ATOMIC_FILE_H_
#define DEPLOY_CTL_ATOMIC_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp::ctl {

// Writes `contents` to `path`.tmp and renames that to `path`: a reader sees the old file or the new one, never a part.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_ATOMIC_FILE_H_
