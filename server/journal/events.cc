#include "server/journal/events.h"

#include "common/codec/little_endian.h"

namespace cddp {
namespace {

template <typename T>
void Put(T value, std::string* bytes) {
  char raw[sizeof(T)];
  StoreLe<T>(value, raw);
  bytes->append(raw, sizeof(T));
}

void PutBytes(absl::string_view value, std::string* bytes) {
  Put<uint64_t>(value.size(), bytes);
  bytes->append(value.data(), value.size());
}

struct Writer {
  std::string* bytes;
  void operator()(const BeginEvent& event) const {
    Put<uint32_t>(event.format, bytes);
    PutBytes(event.options, bytes);
    PutBytes(event.layout, bytes);
  }
  void operator()(const CountEvent& event) const {
    const Contribution& contribution = event.contribution;
    Put<uint32_t>(event.bucket, bytes);
    Put<uint32_t>(contribution.rank, bytes);
    Put<uint64_t>(contribution.step, bytes);
    Put<uint64_t>(contribution.base_version, bytes);
    Put<uint8_t>(contribution.non_finite, bytes);
    PutBytes(contribution.update, bytes);
  }
  void operator()(const AdmitEvent& event) const {
    Put<uint32_t>(event.bucket, bytes);
    Put<uint32_t>(event.rank, bytes);
  }
  void operator()(const RetireEvent& event) const {
    Put<uint32_t>(event.bucket, bytes);
    Put<uint32_t>(event.rank, bytes);
  }
  void operator()(const MemberEvent& event) const {
    Put<uint32_t>(event.rank, bytes);
    Put<uint64_t>(event.incarnation, bytes);
    Put<uint8_t>(static_cast<uint8_t>(event.state), bytes);
  }
};

class Reader {
 public:
  explicit Reader(absl::string_view bytes) : left_(bytes) {}

  template <typename T>
  T Get() {
    if (left_.size() < sizeof(T)) {
      ok_ = false;
      return T{};
    }
    const T value = LoadLe<T>(left_.data());
    left_.remove_prefix(sizeof(T));
    return value;
  }
  absl::string_view GetBytes() {
    const uint64_t size = Get<uint64_t>();
    if (size > left_.size()) ok_ = false;
    if (!ok_) return {};
    const absl::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }
  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }
  absl::string_view left() const { return left_; }

 private:
  absl::string_view left_;
  bool ok_ = true;
};

}  // namespace

void AppendEvent(const JournalEvent& event, std::string* bytes) {
  Put<uint8_t>(static_cast<uint8_t>(event.index()), bytes);
  std::visit(Writer{bytes}, event);
}

absl::Status TakeEvent(absl::string_view* bytes, JournalEvent* event) {
  Reader reader(*bytes);
  // Braced lists are evaluated from left to right.
  switch (reader.Get<uint8_t>()) {
    case 0: {
      BeginEvent begin;
      begin.format = reader.Get<uint32_t>();
      if (reader.ok() && begin.format != kJournalFormat) {
        return absl::FailedPreconditionError("the journal is of another format version: use the release that wrote it");
      }
      begin.options = std::string(reader.GetBytes());
      begin.layout = std::string(reader.GetBytes());
      *event = std::move(begin);
      break;
    }
    case 1: {
      CountEvent count;
      count.bucket = reader.Get<uint32_t>();
      count.contribution.rank = reader.Get<uint32_t>();
      count.contribution.step = reader.Get<uint64_t>();
      count.contribution.base_version = reader.Get<uint64_t>();
      count.contribution.non_finite = reader.Get<uint8_t>() != 0;
      count.contribution.update = reader.GetBytes();
      *event = count;
      break;
    }
    case 2:
      *event = AdmitEvent{reader.Get<uint32_t>(), reader.Get<uint32_t>()};
      break;
    case 3:
      *event = RetireEvent{reader.Get<uint32_t>(), reader.Get<uint32_t>()};
      break;
    case 4: {
      MemberEvent member{reader.Get<uint32_t>(), reader.Get<uint64_t>()};
      const uint8_t state = reader.Get<uint8_t>();
      if (state > static_cast<uint8_t>(MemberState::kLeft)) reader.Fail();
      member.state = static_cast<MemberState>(state);
      *event = member;
      break;
    }
    default:
      reader.Fail();
  }
  if (!reader.ok()) return absl::DataLossError("the journal holds an event that cannot be read");
  *bytes = reader.left();
  return absl::OkStatus();
}

}  // namespace cddp
