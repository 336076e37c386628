// A file for decoders that take a path: in memory, so that many inputs a second can be tried, and gone with the
// process.

#ifndef TESTS_FUZZ_SCRATCH_FILE_H_
#define TESTS_FUZZ_SCRATCH_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "absl/strings/string_view.h"
#include "tests/fuzz/check.h"

class ScratchFile {
 public:
  ScratchFile() : fd_(memfd_create("cddp_fuzz", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    Check(fd_ >= 0);
  }
  ~ScratchFile() { close(fd_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  // Replaces what it holds. Returns its path.
  const std::string& Write(absl::string_view bytes) {
    Check(ftruncate(fd_, 0) == 0);
    Check(pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return path_;
  }

 private:
  const int fd_;
  const std::string path_;
};

#endif  // TESTS_FUZZ_SCRATCH_FILE_H_
