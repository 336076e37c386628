// Log lines of the code that programs and the library (include/cddp) share. A line is "event=NAME key=value ...". The
// process decides where lines go: our programs send them to spdlog (common/config/logging.h), a program that uses the
// library sets a callback.

#ifndef COMMON_LOG_LOG_H_
#define COMMON_LOG_LOG_H_

#include <functional>

#include "absl/strings/string_view.h"

namespace cddp {

enum class LogLevel { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

// Called for one line at a time, from any thread. Must not log.
using LogSink = std::function<void(LogLevel level, absl::string_view line)>;

// Sends all further lines to `sink`; null, the default, discards them. Once this has returned, the previous sink is not
// called any more.
void SetLogSink(LogSink sink);

void Log(LogLevel level, absl::string_view line);
inline void LogInfo(absl::string_view line) { Log(LogLevel::kInfo, line); }
inline void LogWarning(absl::string_view line) { Log(LogLevel::kWarning, line); }
inline void LogError(absl::string_view line) { Log(LogLevel::kError, line); }

}  // namespace cddp

#endif  // COMMON_LOG_LOG_H_
