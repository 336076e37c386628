#include "common/log/log.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "common/sync/mutex.h"

namespace cddp {
namespace {

// Never destroyed: threads may log while the process ends.
struct Output {
  Mutex mutex;
  LogSink sink ABSL_GUARDED_BY(mutex);
};

Output& TheOutput() {
  static Output& output = *new Output;
  return output;
}

}  // namespace

void SetLogSink(LogSink sink) {
  Output& output = TheOutput();
  MutexLock lock(output.mutex);
  output.sink = std::move(sink);
}

void Log(LogLevel level, absl::string_view line) {
  Output& output = TheOutput();
  MutexLock lock(output.mutex);
  if (output.sink) output.sink(level, line);
}

}  // namespace cddp
