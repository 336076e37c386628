// Numbers for people. Decimal units: 1 kB is 1000 bytes.

#ifndef DEPLOY_CTL_FORMAT_H_
#define DEPLOY_CTL_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace cddp::ctl {

std::string FormatBytes(double bytes);             // "812 B", "48.2 kB", "1.20 MB"
std::string FormatCount(uint64_t count);           // "1,199,882"
std::string FormatElapsed(absl::Duration time);    // "0.4 ms", "12.3 s", "4 min 05 s", "2 h 03 min"
std::string FormatRemaining(absl::Duration time);  // whole seconds: "12 s", "4 min 05 s", "2 h 03 min"

// "97.52 %". Less than 1 is never rounded up to "100.00 %": 0.99999 is "99.99 %".
std::string FormatPercent(double fraction);

// The shortest text that reads back as the same double: "0.05".
std::string FormatExact(double value);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_FORMAT_H_
