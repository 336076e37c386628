// Reads members of a zip archive, such as NumPy's .npz and LibTorch's .pt files.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT; members stored or deflated, archives above 4 GB too.

#ifndef WORKER_DATA_ZIP_FILE_H_
#define WORKER_DATA_ZIP_FILE_H_

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp {

// Not thread-safe. Error messages do not contain the file's name.
class ZipFile {
 public:
  // Reads the archive's directory. NotFound if the file cannot be opened, InvalidArgument if it is no zip archive, or
  // damaged, truncated, or one of several files.
  static absl::StatusOr<ZipFile> Open(const std::string& path);

  // The members' names, sorted.
  std::vector<std::string> names() const;
  bool Has(const std::string& name) const { return members_.count(name) > 0; }

  // The member's content, checked by its checksum. It allocates no more memory than the compressed bytes can expand to.
  // NotFound if there is no such member; InvalidArgument if it is damaged, encrypted or compressed in another way.
  absl::StatusOr<std::string> Read(const std::string& name);

 private:
  struct Member {
    uint16_t flags = 0;
    uint16_t method = 0;
    uint32_t crc = 0;
    uint64_t packed = 0;  // bytes in the file
    uint64_t size = 0;    // bytes of the content
    uint64_t offset = 0;  // of the member's header
  };
  struct Directory {
    uint64_t offset = 0;
    uint64_t size = 0;
  };

  ZipFile(std::ifstream file, uint64_t size) : file_(std::move(file)), size_(size) {}

  absl::StatusOr<std::string> ReadAt(uint64_t offset, uint64_t size);
  absl::StatusOr<Directory> FindDirectory();
  absl::Status ReadDirectory();
  static absl::Status ReadExtra(absl::string_view extra, Member* member);

  std::ifstream file_;
  uint64_t size_;
  std::map<std::string, Member> members_;
};

}  // namespace cddp

#endif  // WORKER_DATA_ZIP_FILE_H_
