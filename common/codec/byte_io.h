// Little-endian fields one after the other, as in state files.

#ifndef COMMON_CODEC_BYTE_IO_H_
#define COMMON_CODEC_BYTE_IO_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/codec/little_endian.h"

namespace cddp {

// Appends to a string, which must outlive it.
class ByteWriter {
 public:
  explicit ByteWriter(std::string* bytes) : bytes_(*bytes) {}

  template <typename T>
  void Put(T value) {
    char raw[sizeof(T)];
    StoreLe<T>(value, raw);
    bytes_.append(raw, sizeof(T));
  }
  void PutBytes(absl::string_view value) {
    Put<uint64_t>(value.size());
    bytes_.append(value.data(), value.size());
  }
  void PutFloats(absl::Span<const float> values) {
    PutBytes({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }

 private:
  std::string& bytes_;
};

// Reads fields from the front. A field beyond the end reads as zero, and ok() is false from then on.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : left_(bytes) {}

  template <typename T>
  T Get() {
    if (left_.size() < sizeof(T)) ok_ = false;
    if (!ok_) return T{};
    const T value = LoadLe<T>(left_.data());
    left_.remove_prefix(sizeof(T));
    return value;
  }
  absl::string_view GetBytes() {  // points into the bytes being read
    const uint64_t size = Get<uint64_t>();
    if (size > left_.size()) ok_ = false;
    if (!ok_) return {};
    const absl::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }
  // Reads values.size() floats, or none at all.
  void GetFloats(absl::Span<float> values) {
    const absl::string_view bytes = GetBytes();
    if (bytes.size() != values.size() * sizeof(float)) ok_ = false;
    if (ok_ && !values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  }
  void Fail() { ok_ = false; }

  bool ok() const { return ok_; }
  absl::string_view left() const { return left_; }

 private:
  absl::string_view left_;
  bool ok_ = true;
};

}  // namespace cddp

#endif  // COMMON_CODEC_BYTE_IO_H_
