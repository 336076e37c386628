// Event files for TensorBoard: named numbers over steps.
//
// A file is a sequence of records (TFRecord: length, its checksum, bytes, their checksum), each with an Event, a
// protobuf message. Its six fields are written by hand, so that the library needs no further message types, which could
// conflict with those of the same name in another library:
//   https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h
//   https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/event.proto

#ifndef COMMON_TENSORBOARD_EVENT_FILE_H_
#define COMMON_TENSORBOARD_EVENT_FILE_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace cddp {

struct Scalar {
  absl::string_view tag;  // "loss/train": TensorBoard groups by the part before the '/'
  double value = 0;
};

// Not thread-safe. Added values are in the file within about a second, or at the end.
class EventFile {
 public:
  // Creates a new file in `folder`, and the folder if needed. TensorBoard shows all files of a folder as one run.
  // InvalidArgument if it cannot be written.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(const std::string& folder);

  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // Adds values at the present time. A failure (a full disk) is logged once; nothing is written from then on.
  void Add(uint64_t step, absl::Span<const Scalar> scalars);

  const std::string& path() const { return path_; }

 private:
  EventFile(std::string path, std::ofstream file) : path_(std::move(path)), file_(std::move(file)) {}
  void Append(absl::string_view event);

  const std::string path_;
  std::ofstream file_;
  absl::Duration flushed_ = -absl::InfiniteDuration();  // MonotonicNow()
};

// The bytes of one record, and of one Event.
std::string EventRecord(absl::string_view event);
std::string ScalarEvent(uint64_t step, absl::Time time, absl::Span<const Scalar> scalars);
// The first event of a file.
std::string VersionEvent(absl::Time time);

}  // namespace cddp

#endif  // COMMON_TENSORBOARD_EVENT_FILE_H_
