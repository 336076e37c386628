#include "common/agreement/agreement.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/agreement/settings.h"

namespace cddp {
namespace {

absl::string_view NameOf(absl::string_view setting) { return setting.substr(0, setting.find('=')); }

std::vector<absl::string_view> Split(absl::string_view settings) {
  return absl::StrSplit(settings, ' ', absl::SkipEmpty());
}

// The whole setting of that name; nothing if there is none.
std::optional<absl::string_view> Find(const std::vector<absl::string_view>& settings, absl::string_view name) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [name](absl::string_view setting) { return NameOf(setting) == name; });
  return found == settings.end() ? std::nullopt : std::optional(*found);
}

// The same for people.
std::string Describe(const std::vector<absl::string_view>& settings, absl::string_view name) {
  const std::optional<absl::string_view> found = Find(settings, name);
  return found.has_value() ? std::string(*found) : absl::StrCat("no ", name);
}

}  // namespace

std::optional<absl::string_view> ValueOf(absl::string_view settings, absl::string_view name) {
  const std::optional<absl::string_view> found = Find(Split(settings), name);
  if (!found.has_value()) return std::nullopt;
  return absl::StripPrefix(found->substr(name.size()), "=");
}

std::vector<SettingDifference> Differences(absl::string_view first, absl::string_view second) {
  const std::vector<absl::string_view> ours = Split(first);
  const std::vector<absl::string_view> theirs = Split(second);
  std::vector<SettingDifference> differences;
  for (const absl::string_view setting : ours) {
    const std::string other = Describe(theirs, NameOf(setting));
    if (other != setting) differences.push_back({std::string(NameOf(setting)), std::string(setting), other});
  }
  for (const absl::string_view setting : theirs) {
    const std::string other = Describe(ours, NameOf(setting));
    if (NameOf(other) != NameOf(setting)) {
      differences.push_back({std::string(NameOf(setting)), other, std::string(setting)});
    }
  }
  return differences;
}

std::string DescribeFileDifference(absl::string_view written, absl::string_view ours, absl::string_view process) {
  const std::vector<SettingDifference> differences = Differences(written, ours);
  if (differences.empty()) return "";
  return absl::StrCat("was written with ", differences.front().first, ", but this ", process, " has ",
                      differences.front().second);
}

absl::Status CheckServersAgree(absl::string_view address, absl::string_view settings, absl::string_view other_address,
                               absl::string_view other_settings) {
  const std::vector<SettingDifference> differences = Differences(settings, other_settings);
  if (differences.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("server ", address, " has ", differences.front().first,
                                                 ", but server ", other_address, " has ", differences.front().second,
                                                 ": start all servers with the same flags"));
}

absl::Status WorkersAgreement::Check(uint32_t rank, absl::string_view settings, bool alone) const {
  if (!exists_) return absl::OkStatus();
  for (const SettingDifference& difference : Differences(settings, settings_)) {
    const bool kept = IsKept(difference.name);
    if (!kept && alone) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("worker ", rank, " has ", difference.first, ", but this training was begun with ",
                     difference.second, " (worker ", rank_, "): ",
                     kept ? "start all workers alike, or another training at fresh servers"
                          : "start all workers alike; it may be changed once none of the others takes part any more"));
  }
  return absl::OkStatus();
}

bool WorkersAgreement::Adopt(uint32_t rank, absl::string_view settings) {
  if (exists_ && settings == settings_) return false;
  exists_ = true;
  rank_ = rank;
  settings_ = std::string(settings);
  return true;
}

}  // namespace cddp
