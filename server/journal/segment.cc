#include "server/journal/segment.h"

#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"

namespace cddp {

std::string ToBytes(const SegmentHead& head) {
  std::string bytes;
  ByteWriter to(&bytes);
  to.Put<uint8_t>(kSegmentHeadTag);
  to.Put<uint32_t>(head.format);
  to.Put<uint64_t>(head.segment);
  to.Put<uint64_t>(head.position);
  to.Put<uint64_t>(head.restored);
  return bytes;
}

absl::Status TakeSegmentHead(absl::string_view* bytes, SegmentHead* head) {
  ByteReader from(*bytes);
  if (from.Get<uint8_t>() != kSegmentHeadTag) from.Fail();
  // A braced list is evaluated from left to right.
  *head = {from.Get<uint32_t>(), from.Get<uint64_t>(), from.Get<uint64_t>(), from.Get<uint64_t>()};
  if (!from.ok()) return absl::DataLossError("is damaged: it does not begin as a journal's file");
  if (head->format != kJournalFormat) {
    return absl::FailedPreconditionError(absl::StrCat("is of format ", head->format, ", this release reads ",
                                                      kJournalFormat, ": use the release that wrote it"));
  }
  *bytes = from.left();
  return absl::OkStatus();
}

}  // namespace cddp
