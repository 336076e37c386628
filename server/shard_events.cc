#include "server/shard_events.h"

#include "common/codec/byte_io.h"
#include "server/journal/journal.h"
#include "server/journal/segment.h"
#include "server/journal/snapshot.h"

namespace cddp {
namespace {

// An event's first byte, from its index in ShardEvent.
constexpr uint8_t kFirstTag = 1;
static_assert(kFirstTag > kSegmentHeadTag && kFirstTag + std::variant_size_v<ShardEvent> <= kSnapshotEndTag);

// Writes what AppendEventHead writes, and returns what it returns.
struct HeadWriter {
  ByteWriter to;
  absl::string_view Tail(absl::string_view bytes) {
    to.Put<uint64_t>(bytes.size());
    return bytes;
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
    to.Put<float>(contribution.weight.value_or(0));
    return Tail(contribution.update.view());
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
  absl::string_view operator()(const AgreementEvent& event) {
    to.Put<uint32_t>(event.rank);
    to.PutBytes(event.settings);
    return {};
  }
  absl::string_view operator()(const RunEvent& event) {
    to.PutBytes(event.name);
    return {};
  }
};

// Reads fields of `whole`.
struct Reader {
  const SharedBytes& whole;
  ByteReader from;
  SharedBytes Take(absl::string_view bytes) const {
    return bytes.empty() ? SharedBytes() : whole.Part(static_cast<size_t>(bytes.data() - whole.data()), bytes.size());
  }
};

// Braced lists are evaluated from left to right.
void Read(Reader& reader, BeginEvent* event) {
  ByteReader& from = reader.from;
  *event = {std::string(from.GetBytes()), std::string(from.GetBytes())};
}
void Read(Reader& reader, CountEvent* event) {
  ByteReader& from = reader.from;
  event->bucket = from.Get<uint32_t>();
  event->contribution.rank = from.Get<uint32_t>();
  event->contribution.step = from.Get<uint64_t>();
  event->contribution.base_version = from.Get<uint64_t>();
  event->contribution.non_finite = from.Get<uint8_t>() != 0;
  if (const auto weight = from.Get<float>(); weight != 0) event->contribution.weight = weight;
  event->contribution.update = reader.Take(from.GetBytes());
}
void Read(Reader& reader, AdmitEvent* event) { *event = {reader.from.Get<uint32_t>(), reader.from.Get<uint32_t>()}; }
void Read(Reader& reader, RetireEvent* event) { *event = {reader.from.Get<uint32_t>(), reader.from.Get<uint32_t>()}; }
void Read(Reader& reader, MemberEvent* event) {
  ByteReader& from = reader.from;
  event->rank = from.Get<uint32_t>();
  event->incarnation = from.Get<uint64_t>();
  const uint8_t state = from.Get<uint8_t>();
  if (state > static_cast<uint8_t>(MemberState::kLost)) from.Fail();
  event->state = static_cast<MemberState>(state);
  event->view = from.Get<uint64_t>();
}
void Read(Reader& reader, BucketEvent* event) {
  ByteReader& from = reader.from;
  *event = {from.Get<uint32_t>(), from.Get<uint64_t>(), from.GetBytes()};
}
void Read(Reader& reader, AgreementEvent* event) {
  *event = {reader.from.Get<uint32_t>(), std::string(reader.from.GetBytes())};
}

void Read(Reader& reader, RunEvent* event) { event->name = std::string(reader.from.GetBytes()); }

// Reads the alternative of that number.
template <size_t kIndex = 0>
void ReadAlternative(size_t index, Reader& reader, ShardEvent* event) {
  if constexpr (kIndex < std::variant_size_v<ShardEvent>) {
    if (index != kIndex) return ReadAlternative<kIndex + 1>(index, reader, event);
    Read(reader, &event->emplace<kIndex>());
  } else {
    reader.from.Fail();
  }
}

}  // namespace

void AppendEvent(const ShardEvent& event, std::string* bytes) {
  const absl::string_view tail = AppendEventHead(event, bytes);
  bytes->append(tail.data(), tail.size());
}

absl::string_view AppendEventHead(const ShardEvent& event, std::string* bytes) {
  HeadWriter writer{ByteWriter(bytes)};
  writer.to.Put<uint8_t>(static_cast<uint8_t>(kFirstTag + event.index()));
  return std::visit(writer, event);
}

absl::Status TakeEvent(SharedBytes* bytes, ShardEvent* event) {
  Reader reader = {*bytes, ByteReader(bytes->view())};
  const size_t tag = reader.from.Get<uint8_t>();
  ReadAlternative(tag - kFirstTag, reader, event);
  if (!reader.from.ok()) return absl::DataLossError("holds an event that cannot be read");
  const size_t left = reader.from.left().size();
  *bytes = bytes->Part(bytes->size() - left, left);
  return absl::OkStatus();
}

uint64_t AppendTo(Journal& journal, const ShardEvent& event) {
  std::string head;
  const absl::string_view tail = AppendEventHead(event, &head);
  return journal.Append(head, tail);
}

absl::Status AddTo(SnapshotWriter& snapshot, const ShardEvent& event) {
  std::string head;
  const absl::string_view tail = AppendEventHead(event, &head);
  return snapshot.Add(head, tail);
}

}  // namespace cddp
