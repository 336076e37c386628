// Event files, as TensorBoard reads them: numbers by name, over steps.
//
// A file is a row of records (TFRecord: length, its checksum, bytes, their checksum) that each hold an Event, a message
// of protobuf. Its six fields are written by hand, so that the library needs no further message types, and no other
// program's of the same name are in its way:
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
  absl::string_view tag;  // "loss/train": TensorBoard shows what is before the '/' as a group
  double value = 0;
};

// Not thread-safe. What was added is in the file within about a second, and at the end.
class EventFile {
 public:
  // A new file in `folder`, which is made if it is not there. TensorBoard shows all files of a folder as one run.
  // InvalidArgument if it cannot be written.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(const std::string& folder);

  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // At the present time. A failure (a full disk) is told in the log once; nothing is written from then on.
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
// The first one of a file.
std::string VersionEvent(absl::Time time);

}  // namespace cddp

#endif  // COMMON_TENSORBOARD_EVENT_FILE_H_
