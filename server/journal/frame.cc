#include "server/journal/frame.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/crc32c.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

constexpr uint32_t kMagic = 0x4a444443;  // "CDDJ"
constexpr uint64_t kBlock = 512;         // no file system fills less than this with zeros

}  // namespace

void StoreFrameHeader(uint64_t number, uint64_t size, uint32_t crc, char* header) {
  StoreLe<uint32_t>(kMagic, header);
  StoreLe<uint64_t>(size, header + 4);
  StoreLe<uint64_t>(number, header + 12);
  StoreLe<uint32_t>(crc, header + 20);
  StoreLe<uint32_t>(Crc32c(header, 24), header + 24);
}

absl::Status AppendFrame(AppendFile& file, uint64_t number, std::initializer_list<absl::string_view> pieces,
                         uint64_t* bytes) {
  uint64_t size = 0;
  uint32_t crc = 0;
  for (const absl::string_view piece : pieces) {
    size += piece.size();
    crc = Crc32c(piece.data(), piece.size(), crc);
  }
  char header[kFrameHeaderBytes];
  StoreFrameHeader(number, size, crc, header);
  std::vector<absl::string_view> all = {absl::string_view(header, sizeof(header))};
  all.insert(all.end(), pieces.begin(), pieces.end());
  std::string end(FrameBytes(size) - sizeof(header) - size, '\0');
  end.front() = kFrameEnd;
  all.push_back(end);
  *bytes += FrameBytes(size);
  return file.Append(all);
}

absl::Status FrameReader::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat("frame ", frames_, " at byte ", offset_, " ", what,
                                          ": the file is damaged; restore it from a copy, or start anew with an "
                                          "empty --state_dir"));
}

absl::StatusOr<bool> FrameReader::EndsInZeros(uint64_t begin, uint64_t latest, uint64_t size) {
  // The earliest position from which on all bytes are zeros, searched block by block from the end.
  uint64_t zeros_from = size;
  while (zeros_from > begin) {
    const uint64_t block = std::max(begin, (zeros_from - 1) / kBlock * kBlock);
    absl::StatusOr<std::string> bytes = file_.Read(block, zeros_from - block);
    if (!bytes.ok()) return bytes.status();
    if (std::any_of(bytes->begin(), bytes->end(), [](char c) { return c != 0; })) break;
    zeros_from = block;
  }
  return zeros_from < size && zeros_from <= latest;
}

absl::StatusOr<std::shared_ptr<const std::string>> FrameReader::Next() {
  const absl::StatusOr<uint64_t> size = file_.Size();
  if (!size.ok()) return size.status();
  const uint64_t left = *size - offset_;
  if (left < kFrameHeaderBytes) return nullptr;
  absl::StatusOr<std::string> header = file_.Read(offset_, kFrameHeaderBytes);
  if (!header.ok()) return header.status();
  if (LoadLe<uint32_t>(header->data() + 24) != Crc32c(header->data(), 24)) {
    absl::StatusOr<bool> torn = EndsInZeros(offset_, offset_ + kFrameHeaderBytes, *size);
    if (!torn.ok()) return torn.status();
    if (*torn) return nullptr;
    return Damaged("has a header with a wrong checksum");
  }
  if (LoadLe<uint32_t>(header->data()) != kMagic) return Damaged("does not begin as a frame");
  if (LoadLe<uint64_t>(header->data() + 12) != frames_) {
    return Damaged(absl::StrCat("calls itself frame ", LoadLe<uint64_t>(header->data() + 12)));
  }
  const uint64_t length = LoadLe<uint64_t>(header->data() + 4);
  if (length >= left || FrameBytes(length) > left) return nullptr;  // cut short
  absl::StatusOr<std::string> payload = file_.Read(offset_ + kFrameHeaderBytes, FrameBytes(length) - kFrameHeaderBytes);
  if (!payload.ok()) return payload.status();
  const bool ends_well = (*payload)[length] == kFrameEnd &&
                         std::all_of(payload->begin() + length + 1, payload->end(), [](char c) { return c == 0; });
  payload->resize(length);
  if (!ends_well || Crc32c(payload->data(), length) != LoadLe<uint32_t>(header->data() + 20)) {
    absl::StatusOr<bool> torn = EndsInZeros(offset_, offset_ + kFrameHeaderBytes + length, *size);
    if (!torn.ok()) return torn.status();
    if (*torn) return nullptr;
    return Damaged("has a wrong checksum");
  }
  last_ = offset_;
  offset_ += FrameBytes(length);
  ++frames_;
  return std::make_shared<const std::string>(*std::move(payload));
}

}  // namespace cddp
