#include "common/config/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <string>

#include "common/log/log.h"

namespace cddp {

void LogToSpdlog() {
  SetLogSink([](LogLevel level, absl::string_view line) {
    constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                     spdlog::level::err};
    spdlog::log(kLevels[static_cast<int>(level)], "{}", std::string(line));
  });
}

void InitLogging() {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("cddp"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ level=%l %v", spdlog::pattern_time_type::utc);
  spdlog::flush_on(spdlog::level::info);
  LogToSpdlog();
}

}  // namespace cddp
