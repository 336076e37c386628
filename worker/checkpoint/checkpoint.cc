#include "worker/checkpoint/checkpoint.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/agreement/agreement.h"
#include "common/codec/byte_io.h"
#include "common/codec/crc32c.h"

namespace cddp {
namespace {

constexpr absl::string_view kCheckpointMagic = "CDDPWORK";
constexpr uint32_t kCheckpointFormat = 3;

// Passes bytes on without copying the large arrays, and computes the checksum of all of them.
class Sink {
 public:
  explicit Sink(WriteBytes write) : write_(write) {}

  void Raw(absl::string_view bytes) {
    crc_ = Crc32c(bytes.data(), bytes.size(), crc_);
    if (status_.ok()) status_ = write_(bytes);
  }
  template <typename T>
  void Put(T value) {
    std::string bytes;
    ByteWriter(&bytes).Put<T>(value);
    Raw(bytes);
  }
  void PutBytes(absl::string_view value) {
    Put<uint64_t>(value.size());
    Raw(value);
  }
  template <typename T>
  void PutArray(const std::vector<T>& values) {
    PutBytes({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  }
  absl::Status Finish() {
    Put<uint32_t>(crc_);
    return status_;
  }

 private:
  const WriteBytes write_;
  uint32_t crc_ = 0;
  absl::Status status_;
};

template <typename T>
std::vector<T> GetArray(ByteReader* from) {
  const absl::string_view bytes = from->GetBytes();
  if (bytes.size() % sizeof(T) != 0) from->Fail();
  if (!from->ok()) return {};
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

absl::Status Append(const WorkerCheckpoint& checkpoint, WriteBytes write) {
  const BucketEngineState& engine = checkpoint.exchange.engine;
  Sink sink(write);
  sink.Raw(kCheckpointMagic);
  sink.Put<uint32_t>(kCheckpointFormat);
  sink.Put<uint64_t>(checkpoint.fingerprint);
  sink.PutBytes(checkpoint.run);
  sink.PutBytes(checkpoint.arithmetic);
  sink.PutBytes(checkpoint.flags);
  sink.Put<uint64_t>(checkpoint.exchange.step);
  sink.PutArray(checkpoint.exchange.versions);
  sink.Put<double>(engine.ratio);
  sink.PutArray(engine.residual);
  sink.PutArray(engine.velocity);
  sink.PutArray(engine.thresholds);
  sink.PutArray(checkpoint.weights);
  sink.PutBytes(checkpoint.model);
  sink.PutBytes(checkpoint.optimizer);
  sink.PutBytes(checkpoint.totals);
  return sink.Finish();
}

absl::Status Append(const WorkerCheckpoint& checkpoint, NewFile* file) {
  return Append(checkpoint, [file](absl::string_view bytes) { return file->Write({bytes.data(), bytes.size()}); });
}

absl::StatusOr<WorkerCheckpoint> ParseCheckpoint(absl::string_view all, const std::string& name) {
  if (all.substr(0, kCheckpointMagic.size()) != kCheckpointMagic.substr(0, all.size())) {
    return absl::DataLossError(absl::StrCat(name, ": is not a worker's checkpoint"));
  }
  if (all.size() < kCheckpointMagic.size() + sizeof(kCheckpointFormat) + sizeof(uint32_t)) {
    return absl::DataLossError(absl::StrCat(name, ": is cut off after ", all.size(), " bytes"));
  }
  const absl::string_view checked = all.substr(0, all.size() - sizeof(uint32_t));
  if (ByteReader(all.substr(checked.size())).Get<uint32_t>() != Crc32c(checked.data(), checked.size())) {
    return absl::DataLossError(absl::StrCat(name, ": is damaged or cut off (checksum)"));
  }
  ByteReader from(checked.substr(kCheckpointMagic.size()));
  if (const uint32_t format = from.Get<uint32_t>(); format != kCheckpointFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": is of format ", format, ", not ", kCheckpointFormat, ": use the release that wrote it"));
  }
  WorkerCheckpoint checkpoint;
  BucketEngineState& engine = checkpoint.exchange.engine;
  checkpoint.fingerprint = from.Get<uint64_t>();
  checkpoint.run = std::string(from.GetBytes());
  checkpoint.arithmetic = std::string(from.GetBytes());
  checkpoint.flags = std::string(from.GetBytes());
  checkpoint.exchange.step = from.Get<uint64_t>();
  checkpoint.exchange.versions = GetArray<uint64_t>(&from);
  engine.ratio = from.Get<double>();
  engine.residual = GetArray<float>(&from);
  engine.velocity = GetArray<float>(&from);
  engine.thresholds = GetArray<float>(&from);
  checkpoint.weights = GetArray<float>(&from);
  checkpoint.model = std::string(from.GetBytes());
  checkpoint.optimizer = std::string(from.GetBytes());
  checkpoint.totals = std::string(from.GetBytes());
  if (!from.ok() || !from.left().empty()) return absl::DataLossError(absl::StrCat(name, ": its fields do not fit"));
  return checkpoint;
}

absl::StatusOr<WorkerCheckpoint> ReadCheckpoint(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be opened"));
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return absl::DataLossError(absl::StrCat(path, ": cannot be read: ", error.message()));
  std::string bytes(size, '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::DataLossError(absl::StrCat(path, ": cannot be read to its end"));
  }
  return ParseCheckpoint(bytes, path);
}

absl::Status CheckFits(const WorkerCheckpoint& checkpoint, uint64_t fingerprint, const std::string& flags) {
  constexpr char kWhatToDo[] = ": start it with the same flags, or with an empty --checkpoint_dir";
  if (const std::string difference = DescribeFileDifference(checkpoint.flags, flags, "worker"); !difference.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint ", difference, kWhatToDo));
  }
  if (checkpoint.fingerprint != fingerprint) {
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint is of another model or bucket length", kWhatToDo));
  }
  return absl::OkStatus();
}

}  // namespace cddp
