#include "common/transport/watched_file.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/clock/monotonic.h"

namespace cddp {
namespace {

constexpr std::streamsize kLargest = 1 << 20;
constexpr absl::Duration kLookPeriod = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kLargest + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof())) {
    return absl::NotFoundError(absl::StrCat("cannot read '", path, "'"));
  }
  if (file.gcount() > kLargest) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is larger than 1 MiB"));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

bool WatchedFile::Changed() {
  const absl::Duration now = MonotonicNow();
  if (now - looked_ < kLookPeriod) return false;
  looked_ = now;
  struct stat found = {};
  if (stat(path_.c_str(), &found) != 0) return false;
  if (found.st_dev == stamp_.device && found.st_ino == stamp_.inode && found.st_size == stamp_.size &&
      found.st_mtim.tv_sec == stamp_.modified.tv_sec && found.st_mtim.tv_nsec == stamp_.modified.tv_nsec) {
    return false;
  }
  stamp_ = {found.st_dev, found.st_ino, found.st_size, found.st_mtim};
  return true;
}

}  // namespace cddp
