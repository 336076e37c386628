#include "worker/data/zip_file.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"

namespace cddp {
namespace {

constexpr uint32_t kMemberMagic = 0x04034b50;
constexpr uint32_t kEntryMagic = 0x02014b50;
constexpr uint32_t kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50;
constexpr uint32_t kLocator64Magic = 0x07064b50;
constexpr uint64_t kMemberBytes = 30;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kEnd64Bytes = 56;
constexpr uint64_t kLocator64Bytes = 20;
constexpr uint64_t kMostComment = 0xffff;
constexpr uint32_t kElsewhere = 0xffffffff;  // the number is in a 64-bit field
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
// The largest expansion of a byte by deflate.
constexpr uint64_t kMostPacked = 1032;

absl::Status Damaged(absl::string_view how) {
  return absl::InvalidArgumentError(absl::StrCat("the archive is damaged: ", how));
}

// Returns `size` bytes or an error.
absl::StatusOr<std::string> Inflate(const std::string& packed, uint64_t size) {
  if (size / kMostPacked > packed.size()) return Damaged("a member promises more than its bytes can hold");
  std::string content(size, '\0');
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return absl::InternalError("zlib cannot begin");
  const absl::Cleanup end = [&stream] { inflateEnd(&stream); };
  uint64_t taken = 0;
  uint64_t given = 0;
  int code = Z_OK;
  // zlib counts with 32 bits.
  constexpr uint64_t kPart = std::numeric_limits<uint32_t>::max() / 2;
  while (code == Z_OK) {
    const auto in = static_cast<uInt>(std::min(kPart, packed.size() - taken));
    const auto out = static_cast<uInt>(std::min(kPart, size - given));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data())) + taken;
    stream.avail_in = in;
    stream.next_out = reinterpret_cast<Bytef*>(content.data()) + given;
    stream.avail_out = out;
    code = inflate(&stream, Z_NO_FLUSH);
    taken += in - stream.avail_in;
    given += out - stream.avail_out;
  }
  if (code != Z_STREAM_END || given != size || taken != packed.size()) {
    return Damaged("a member's compressed bytes are not what they should be");
  }
  return content;
}

uint32_t Crc32(const std::string& bytes) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

absl::StatusOr<ZipFile> ZipFile::Open(const std::string& path) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return absl::NotFoundError("cannot be read");
  ZipFile zip(std::move(file), size);
  if (absl::Status status = zip.ReadDirectory(); !status.ok()) return status;
  return zip;
}

std::vector<std::string> ZipFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, member] : members_) names.push_back(name);
  return names;
}

absl::StatusOr<std::string> ZipFile::ReadAt(uint64_t offset, uint64_t size) {
  if (offset > size_ || size > size_ - offset) return Damaged("a part of it lies behind its end");
  std::string bytes(size, '\0');
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(offset));
  if (!file_.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::InvalidArgumentError("it cannot be read to its end");
  }
  return bytes;
}

// The archive ends with a record of its directory's position, and a comment after that.
absl::StatusOr<ZipFile::Directory> ZipFile::FindDirectory() {
  const uint64_t tail_size = std::min(size_, kEndBytes + kMostComment);
  const absl::StatusOr<std::string> tail = ReadAt(size_ - tail_size, tail_size);
  if (!tail.ok()) return tail.status();
  for (uint64_t back = kEndBytes; back <= tail_size; ++back) {
    ByteReader end(absl::string_view(*tail).substr(tail_size - back));
    if (end.Get<uint32_t>() != kEndMagic) continue;
    const auto disk = end.Get<uint16_t>();
    const auto directory_disk = end.Get<uint16_t>();
    end.Get<uint32_t>();  // the members' number, twice
    Directory directory;
    directory.size = end.Get<uint32_t>();
    directory.offset = end.Get<uint32_t>();
    if (end.Get<uint16_t>() != back - kEndBytes) continue;  // inside the comment
    if (directory.offset == kElsewhere || directory.size == kElsewhere) {
      if (size_ < back + kLocator64Bytes) return Damaged("its end is not complete");
      const absl::StatusOr<std::string> found = ReadAt(size_ - back - kLocator64Bytes, kLocator64Bytes);
      if (!found.ok()) return found.status();
      ByteReader locator(*found);
      if (locator.Get<uint32_t>() != kLocator64Magic) return Damaged("its end is not complete");
      locator.Get<uint32_t>();  // the file that it is in
      const absl::StatusOr<std::string> record = ReadAt(locator.Get<uint64_t>(), kEnd64Bytes);
      if (!record.ok()) return record.status();
      ByteReader end64(*record);
      if (end64.Get<uint32_t>() != kEnd64Magic) return Damaged("its end is not complete");
      for (int i = 0; i < 9; ++i) end64.Get<uint32_t>();  // up to the directory's size
      directory.size = end64.Get<uint64_t>();
      directory.offset = end64.Get<uint64_t>();
    } else if (disk != 0 || directory_disk != 0) {
      return absl::InvalidArgumentError("it is one of several files of an archive");
    }
    return directory;
  }
  return absl::InvalidArgumentError("it is no zip archive, or truncated");
}

absl::Status ZipFile::ReadDirectory() {
  const absl::StatusOr<Directory> directory = FindDirectory();
  if (!directory.ok()) return directory.status();
  const absl::StatusOr<std::string> bytes = ReadAt(directory->offset, directory->size);
  if (!bytes.ok()) return bytes.status();
  ByteReader from(*bytes);
  while (!from.left().empty()) {
    if (from.Get<uint32_t>() != kEntryMagic) return Damaged("its directory holds something else");
    from.Get<uint32_t>();  // versions
    Member member;
    member.flags = from.Get<uint16_t>();
    member.method = from.Get<uint16_t>();
    from.Get<uint32_t>();  // time
    member.crc = from.Get<uint32_t>();
    member.packed = from.Get<uint32_t>();
    member.size = from.Get<uint32_t>();
    const auto name_size = from.Get<uint16_t>();
    const auto extra_size = from.Get<uint16_t>();
    const auto comment_size = from.Get<uint16_t>();
    from.Get<uint64_t>();  // disk and attributes
    member.offset = from.Get<uint32_t>();
    const size_t rest = size_t{name_size} + extra_size + comment_size;
    if (!from.ok() || from.left().size() < rest) return Damaged("its directory is truncated");
    const std::string name(from.left().substr(0, name_size));
    absl::Status status = ReadExtra(from.left().substr(name_size, extra_size), &member);
    if (!status.ok()) return status;
    if (!members_.emplace(name, member).second) return Damaged(absl::StrCat("it holds ", name, " twice"));
    from = ByteReader(from.left().substr(rest));
  }
  return absl::OkStatus();
}

// Numbers that did not fit 32 bits, in this order.
absl::Status ZipFile::ReadExtra(absl::string_view extra, Member* member) {
  constexpr uint16_t kZip64 = 1;
  ByteReader from(extra);
  while (from.left().size() >= 4) {
    const auto kind = from.Get<uint16_t>();
    const auto size = from.Get<uint16_t>();
    if (size > from.left().size()) break;
    ByteReader field(from.left().substr(0, size));
    from = ByteReader(from.left().substr(size));
    if (kind != kZip64) continue;
    for (uint64_t* number : {&member->size, &member->packed, &member->offset}) {
      if (*number == kElsewhere) *number = field.Get<uint64_t>();
    }
    if (!field.ok()) return Damaged("its directory is truncated");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ZipFile::Read(const std::string& name) {
  const auto found = members_.find(name);
  if (found == members_.end()) return absl::NotFoundError(absl::StrCat("the archive has no ", name));
  const Member& member = found->second;
  if ((member.flags & kEncrypted) != 0) return absl::InvalidArgumentError(absl::StrCat(name, " is encrypted"));
  if (member.method != kStored && member.method != kDeflated) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is compressed by method ", member.method,
                                                   "; only deflate is read: use numpy.savez_compressed"));
  }
  const absl::StatusOr<std::string> header = ReadAt(member.offset, kMemberBytes);
  if (!header.ok()) return header.status();
  if (LoadLe<uint32_t>(header->data()) != kMemberMagic)
    return Damaged(absl::StrCat(name, " is not where it should be"));
  const uint64_t names = uint64_t{LoadLe<uint16_t>(header->data() + 26)} + LoadLe<uint16_t>(header->data() + 28);
  absl::StatusOr<std::string> content = ReadAt(member.offset + kMemberBytes + names, member.packed);
  if (content.ok() && member.method == kDeflated) content = Inflate(*content, member.size);
  if (!content.ok()) return content.status();
  if (content->size() != member.size || Crc32(*content) != member.crc) {
    return Damaged(absl::StrCat(name, " does not fit its checksum"));
  }
  return content;
}

}  // namespace cddp
