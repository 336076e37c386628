#include "server/journal/events.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"

namespace cddp {
namespace {

// Writes what AppendEventHead writes, and returns what it returns.
struct HeadWriter {
  ByteWriter to;
  absl::string_view Tail(absl::string_view bytes) {
    to.Put<uint64_t>(bytes.size());
    return bytes;
  }
  absl::string_view operator()(const SegmentEvent& event) {
    to.Put<uint32_t>(event.format);
    to.Put<uint64_t>(event.segment);
    to.Put<uint64_t>(event.position);
    to.Put<uint64_t>(event.restored);
    return {};
  }
  absl::string_view operator()(const BeginEvent& event) {
    to.PutBytes(event.options);
    to.PutBytes(event.layout);
    return {};
  }
  absl::string_view operator()(const CountEvent& event) {
    const Contribution& contribution = event.contribution;
    to.Put<uint32_t>(event.bucket);
    to.Put<uint32_t>(contribution.rank);
    to.Put<uint64_t>(contribution.step);
    to.Put<uint64_t>(contribution.base_version);
    to.Put<uint8_t>(contribution.non_finite);
    return Tail(contribution.update);
  }
  absl::string_view operator()(const AdmitEvent& event) {
    to.Put<uint32_t>(event.bucket);
    to.Put<uint32_t>(event.rank);
    return {};
  }
  absl::string_view operator()(const RetireEvent& event) {
    to.Put<uint32_t>(event.bucket);
    to.Put<uint32_t>(event.rank);
    return {};
  }
  absl::string_view operator()(const MemberEvent& event) {
    to.Put<uint32_t>(event.rank);
    to.Put<uint64_t>(event.incarnation);
    to.Put<uint8_t>(static_cast<uint8_t>(event.state));
    to.Put<uint64_t>(event.view);
    return {};
  }
  absl::string_view operator()(const BucketEvent& event) {
    to.Put<uint32_t>(event.bucket);
    to.Put<uint64_t>(event.position);
    return Tail(event.state);
  }
  absl::string_view operator()(const EndEvent&) { return {}; }
  absl::string_view operator()(const AgreementEvent& event) {
    to.Put<uint32_t>(event.rank);
    to.PutBytes(event.settings);
    return {};
  }
};

// Braced lists are evaluated from left to right.
void Read(ByteReader& from, SegmentEvent* event) {
  *event = {from.Get<uint32_t>(), from.Get<uint64_t>(), from.Get<uint64_t>(), from.Get<uint64_t>()};
}
void Read(ByteReader& from, BeginEvent* event) {
  *event = {std::string(from.GetBytes()), std::string(from.GetBytes())};
}
void Read(ByteReader& from, CountEvent* event) {
  event->bucket = from.Get<uint32_t>();
  event->contribution.rank = from.Get<uint32_t>();
  event->contribution.step = from.Get<uint64_t>();
  event->contribution.base_version = from.Get<uint64_t>();
  event->contribution.non_finite = from.Get<uint8_t>() != 0;
  event->contribution.update = from.GetBytes();
}
void Read(ByteReader& from, AdmitEvent* event) { *event = {from.Get<uint32_t>(), from.Get<uint32_t>()}; }
void Read(ByteReader& from, RetireEvent* event) { *event = {from.Get<uint32_t>(), from.Get<uint32_t>()}; }
void Read(ByteReader& from, MemberEvent* event) {
  event->rank = from.Get<uint32_t>();
  event->incarnation = from.Get<uint64_t>();
  const uint8_t state = from.Get<uint8_t>();
  if (state > static_cast<uint8_t>(MemberState::kLost)) from.Fail();
  event->state = static_cast<MemberState>(state);
  event->view = from.Get<uint64_t>();
}
void Read(ByteReader& from, BucketEvent* event) {
  *event = {from.Get<uint32_t>(), from.Get<uint64_t>(), from.GetBytes()};
}
void Read(ByteReader&, EndEvent*) {}
void Read(ByteReader& from, AgreementEvent* event) { *event = {from.Get<uint32_t>(), std::string(from.GetBytes())}; }

// Reads the alternative of that number.
template <size_t kIndex = 0>
void ReadAlternative(size_t index, ByteReader& from, JournalEvent* event) {
  if constexpr (kIndex < std::variant_size_v<JournalEvent>) {
    if (index != kIndex) return ReadAlternative<kIndex + 1>(index, from, event);
    Read(from, &event->emplace<kIndex>());
  } else {
    from.Fail();
  }
}

}  // namespace

void AppendEvent(const JournalEvent& event, std::string* bytes) {
  const absl::string_view tail = AppendEventHead(event, bytes);
  bytes->append(tail.data(), tail.size());
}

absl::string_view AppendEventHead(const JournalEvent& event, std::string* bytes) {
  HeadWriter writer{ByteWriter(bytes)};
  writer.to.Put<uint8_t>(static_cast<uint8_t>(event.index()));
  return std::visit(writer, event);
}

absl::Status TakeEvent(absl::string_view* bytes, JournalEvent* event) {
  ByteReader from(*bytes);
  const uint8_t index = from.Get<uint8_t>();
  ReadAlternative(index, from, event);
  if (!from.ok()) return absl::DataLossError("holds an event that cannot be read");
  if (const auto* segment = std::get_if<SegmentEvent>(event); segment != nullptr && segment->format != kJournalFormat) {
    return absl::FailedPreconditionError(absl::StrCat("is of format ", segment->format, ", this release reads ",
                                                      kJournalFormat, ": use the release that wrote it"));
  }
  *bytes = from.left();
  return absl::OkStatus();
}

}  // namespace cddp
