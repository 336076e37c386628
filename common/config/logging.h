// Logs: spdlog to stderr, one line per event, key=value; standard output is for results.

#ifndef COMMON_CONFIG_LOGGING_H_
#define COMMON_CONFIG_LOGGING_H_

namespace cddp {

// Makes spdlog's default logger write to stderr with UTC timestamps. Call once, in main().
void InitLogging();

// Sends the lines of common/log to spdlog, as InitLogging does.
void LogToSpdlog();

}  // namespace cddp

#endif  // COMMON_CONFIG_LOGGING_H_
