// Log lines of what programs and the library (include/cddp) share. A line is "event=NAME key=value ...". Where it goes
// is for the process to say: our programs give lines to spdlog (common/config/logging.h), a program that uses the
// library gives its callback.

#ifndef COMMON_LOG_LOG_H_
#define COMMON_LOG_LOG_H_

#include <functional>

#include "absl/strings/string_view.h"

namespace cddp {

enum class LogLevel { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

// Called for one line at a time, from any thread. Must not log.
using LogSink = std::function<void(LogLevel level, absl::string_view line)>;

// Lines go there from now on; null: nowhere, as before the first call. The sink before it is not called any more once
// this has returned.
void SetLogSink(LogSink sink);

void Log(LogLevel level, absl::string_view line);
inline void LogInfo(absl::string_view line) { Log(LogLevel::kInfo, line); }
inline void LogWarning(absl::string_view line) { Log(LogLevel::kWarning, line); }
inline void LogError(absl::string_view line) { Log(LogLevel::kError, line); }

}  // namespace cddp

#endif  // COMMON_LOG_LOG_H_
