#include "worker/client/residual_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/codec/crc32c.h"

namespace cddp {
namespace {

struct Header {
  std::array<char, 8> magic;
  uint64_t fingerprint;
  uint64_t step;
  uint64_t elements;
  uint32_t data_crc32c;
  uint32_t header_crc32c;  // of all fields above
};
static_assert(sizeof(Header) == 40);

constexpr std::array<char, 8> kMagic = {'C', 'D', 'D', 'P', 'R', 'E', 'S', '1'};

uint32_t HeaderCrc(const Header& header) { return Crc32c(&header, offsetof(Header, header_crc32c)); }

absl::Status Failure(const std::string& path, const char* what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot ", what));
}

absl::Status WriteAll(int file, const void* data, size_t size, const std::string& path) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = write(file, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure(path, "write");
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failure(folder.string(), "open");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  return fsync(fd) == 0 ? absl::OkStatus() : Failure(folder.string(), "sync");
}

}  // namespace

absl::Status WriteResidualFile(const std::string& path, const ResidualState& state) {
  const size_t data_bytes = state.values.size() * sizeof(float);
  Header header = {kMagic, state.fingerprint, state.step, state.values.size(), Crc32c(state.values.data(), data_bytes),
                   0};
  header.header_crc32c = HeaderCrc(header);

  const std::string temporary = absl::StrCat(path, ".new");
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return Failure(temporary, "create");
  absl::Status status = WriteAll(fd, &header, sizeof header, temporary);
  if (status.ok()) status = WriteAll(fd, state.values.data(), data_bytes, temporary);
  if (status.ok() && fsync(fd) != 0) status = Failure(temporary, "sync");
  if (close(fd) != 0) status.Update(Failure(temporary, "close"));
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = Failure(path, "replace");
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(std::filesystem::absolute(path).parent_path());
}

absl::StatusOr<ResidualState> ReadResidualFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  Header header;
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header) || header.magic != kMagic) {
    return absl::DataLossError(absl::StrCat(path, ": is not a residual file"));
  }
  if (header.header_crc32c != HeaderCrc(header)) {
    return absl::DataLossError(absl::StrCat(path, ": the header is damaged (checksum)"));
  }
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error || size != sizeof header + header.elements * sizeof(float)) {
    return absl::DataLossError(absl::StrCat(path, ": ", size, " bytes do not fit ", header.elements, " elements"));
  }
  ResidualState state = {header.fingerprint, header.step, std::vector<float>(header.elements)};
  file.read(reinterpret_cast<char*>(state.values.data()),
            static_cast<std::streamsize>(header.elements * sizeof(float)));
  if (!file || Crc32c(state.values.data(), header.elements * sizeof(float)) != header.data_crc32c) {
    return absl::DataLossError(absl::StrCat(path, ": the data is damaged (checksum)"));
  }
  return state;
}

}  // namespace cddp
