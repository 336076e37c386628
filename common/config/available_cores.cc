#include "common/config/available_cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cddp {
namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Microseconds of processor time in each period; "max" and -1 are no quota.
double Cores(absl::string_view quota, absl::string_view period) {
  double quota_us = 0;
  double period_us = 0;
  if (!absl::SimpleAtod(absl::StripAsciiWhitespace(quota), &quota_us) ||
      !absl::SimpleAtod(absl::StripAsciiWhitespace(period), &period_us) || quota_us <= 0 || period_us <= 0) {
    return kNoQuota;
  }
  return quota_us / period_us;
}

double QuotaOfFolder(const std::string& folder, bool version_2) {
  if (!version_2) return Cores(ReadAll(folder + "/cpu.cfs_quota_us"), ReadAll(folder + "/cpu.cfs_period_us"));
  const std::vector<std::string> words = absl::StrSplit(ReadAll(folder + "/cpu.max"), ' ');
  return words.size() == 2 ? Cores(words[0], words[1]) : kNoQuota;
}

}  // namespace

double QuotaCores(absl::string_view cgroups, const std::string& root) {
  double cores = kNoQuota;
  for (const absl::string_view line : absl::StrSplit(cgroups, '\n')) {  // "3:cpu,cpuacct:/a/b", "0::/a/b"
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const bool version_2 = parts[1].empty();
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    if (!version_2 && std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end()) continue;
    const std::string base = version_2 ? root : absl::StrCat(root, "/cpu");
    // In a container the path may be the host's, of which only the end is mounted: try every suffix.
    for (std::string path = parts[2];; path.resize(path.rfind('/'))) {
      if (path == "/") path.clear();
      cores = std::min(cores, QuotaOfFolder(base + path, version_2));
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return cores;
}

int AvailableCores() {
  int cores = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) cores = std::min(cores, CPU_COUNT(&allowed));
  const double quota = QuotaCores(ReadAll("/proc/self/cgroup"), "/sys/fs/cgroup");
  if (quota < cores) cores = static_cast<int>(std::floor(quota));
  return std::max(cores, 1);
}

}  // namespace cddp
