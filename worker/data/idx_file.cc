#include "worker/data/idx_file.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

constexpr char kAdvice[] = "; scripts/setup fetches MNIST, --data_dir names another folder";

std::optional<uint32_t> ReadBigEndian(std::ifstream& file) {
  std::array<unsigned char, 4> bytes;
  if (!file.read(reinterpret_cast<char*>(bytes.data()), bytes.size())) return std::nullopt;
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

absl::StatusOr<IdxArray> ReadIdxFile(const std::string& path, uint32_t dimensions) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read", kAdvice));

  const std::optional<uint32_t> magic = ReadBigEndian(file);
  const uint32_t expected_magic = 0x800 | dimensions;
  if (magic != expected_magic) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is not an IDX file of unsigned bytes with ", dimensions,
                     " dimension(s): it begins with 0x", absl::Hex(magic.value_or(0), absl::kZeroPad8), ", not 0x",
                     absl::Hex(expected_magic, absl::kZeroPad8), " (compressed files must be unpacked)", kAdvice));
  }
  const uint64_t header = 4 + 4 * uint64_t{dimensions};
  IdxArray array;
  // Saturates: no file is as large as an overflowing product.
  uint64_t promised = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const std::optional<uint32_t> extent = ReadBigEndian(file);
    if (!extent.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": truncated inside its header", kAdvice));
    }
    array.extents.push_back(*extent);
    promised = *extent != 0 && promised > (uint64_t{1} << 62) / *extent ? uint64_t{1} << 62 : promised * *extent;
  }
  if (size != header + promised) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", size < header + promised ? "truncated" : "too long",
                                                   ": its header promises ", header + promised, " bytes, it has ", size,
                                                   kAdvice));
  }
  array.bytes.resize(promised);
  if (!file.read(reinterpret_cast<char*>(array.bytes.data()), static_cast<std::streamsize>(promised))) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read to its end", kAdvice));
  }
  return array;
}

}  // namespace cddp
