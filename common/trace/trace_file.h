// The trace of a process, as a file for chrome://tracing and ui.perfetto.dev.
//
// Format: Chrome's Trace Event Format, the JSON array form: complete events ("X") for a thread's consecutive
// work, nestable asynchronous ones ("b", "e") for overlapping work. Times are microseconds since 1970, so that files of
// several processes fit together. A file whose process was killed lacks the last bracket, which both viewers allow.

#ifndef COMMON_TRACE_TRACE_FILE_H_
#define COMMON_TRACE_TRACE_FILE_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"

namespace cddp {

// What an event belongs to.
struct TraceLabels {
  static constexpr int64_t kNone = -1;
  int64_t step = kNone;
  int64_t bucket = kNone;
  int64_t bytes = kNone;
};

// Thread-safe. Names must contain no quotes or backslashes.
class TraceFile {
 public:
  // Rows of a process in the viewer.
  enum class Row { kTraining = 1, kExchange = 2 };

  // Truncates the file. `process` is the viewer's number of the process, such as a rank. InvalidArgument if the file
  // cannot be written, or is no regular file.
  static absl::StatusOr<std::shared_ptr<TraceFile>> Create(const std::string& path, absl::string_view process_name,
                                                           uint32_t process);
  // Completes the file. If the disk was full, events are missing, and the log says so.
  ~TraceFile();

  // Adds an event: a row's thread worked on it from `begin` to `end`.
  void Span(Row row, absl::string_view name, absl::Time begin, absl::Time end, const TraceLabels& labels);

  // Adds work that was under way in parallel with others of its kind: one line per bucket in the viewer.
  void UnderWay(absl::string_view name, absl::Time begin, absl::Time end, const TraceLabels& labels);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;

  TraceFile(const std::string& path, File file, uint32_t process)
      : path_(path), file_(std::move(file)), process_(process) {}
  void Write(const std::string& event);

  const std::string path_;
  Mutex mutex_;
  const File file_ ABSL_PT_GUARDED_BY(mutex_);
  const uint32_t process_;
};

}  // namespace cddp

#endif  // COMMON_TRACE_TRACE_FILE_H_
