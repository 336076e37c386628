#include "deploy/ctl/format.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cddp::ctl {
namespace {

// Three significant digits.
std::string ThreeDigits(double value) {
  if (value >= 99.95) return absl::StrFormat("%.0f", value);
  return value >= 9.995 ? absl::StrFormat("%.1f", value) : absl::StrFormat("%.2f", value);
}

}  // namespace

std::string FormatBytes(double bytes) {
  if (bytes < 999.5) return absl::StrFormat("%.0f B", bytes);
  static constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB"};
  double value = bytes / 1000;
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(value), " ", kUnits[unit]);
}

std::string FormatCount(uint64_t count) {
  std::string digits = absl::StrCat(count);
  for (size_t end = digits.size(); end > 3;) {
    end -= 3;
    digits.insert(end, 1, ',');
  }
  return digits;
}

std::string FormatElapsed(absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  if (seconds < 0.9995) {
    const double milliseconds = seconds * 1e3;
    return absl::StrFormat("%.*f ms", milliseconds < 9.95 ? 1 : 0, milliseconds);
  }
  if (seconds < 59.95) return absl::StrFormat("%.1f s", seconds);
  return FormatRemaining(time);
}

std::string FormatRemaining(absl::Duration time) {
  const int64_t whole = std::llround(absl::ToDoubleSeconds(time));
  if (whole < 60) return absl::StrCat(whole, " s");
  if (whole < 3600) return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  return absl::StrFormat("%d h %02d min", whole / 3600, whole % 3600 / 60);
}

std::string FormatPercent(double fraction) {
  double percent = fraction * 100;
  if (percent < 100 && percent > 99.99) percent = 99.99;
  return absl::StrFormat("%.2f %%", percent);
}

std::string FormatExact(double value) {
  char text[64];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, end.ptr);
}

}  // namespace cddp::ctl
