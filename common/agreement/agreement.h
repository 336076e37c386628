// The settings that the processes of one training must have alike, as text: "--name=value", separated by spaces. Texts
// are compared name by name; values are exact, so equal text means equal bits.

#ifndef COMMON_AGREEMENT_AGREEMENT_H_
#define COMMON_AGREEMENT_AGREEMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp {

// The value of a setting, "42" of "--seed"; nothing if the text does not have it.
std::optional<absl::string_view> ValueOf(absl::string_view settings, absl::string_view name);

// A setting that two texts do not have alike, as each has it: "--seed=42", or "no --seed".
struct SettingDifference {
  std::string name;  // "--seed"
  std::string first;
  std::string second;
};

// All differences, in the order of `first`, then what only `second` has.
std::vector<SettingDifference> Differences(absl::string_view first, absl::string_view second);

// The first difference between a file's settings and those of this `process` ("server", "worker"):
// "was written with --a=1, but this server has --a=2". Empty if there is none.
std::string DescribeFileDifference(absl::string_view written, absl::string_view ours, absl::string_view process);

// InvalidArgument names both servers and the setting: "server B has --lr=0.2, but server A has --lr=0.1".
absl::Status CheckServersAgree(absl::string_view address, absl::string_view settings, absl::string_view other_address,
                               absl::string_view other_settings);

// The agreement of a training's workers at one server: the settings of the first that joined. Not thread-safe.
class WorkersAgreement {
 public:
  // OK if a worker with these settings may take part. `alone`: no other worker takes part at present; then settings
  // that need not be kept over a restart (IsKept) may change. InvalidArgument names the setting and both values.
  absl::Status Check(uint32_t rank, absl::string_view settings, bool alone) const;

  // Makes these the training's settings; returns whether they were not before.
  bool Adopt(uint32_t rank, absl::string_view settings);

  bool exists() const { return exists_; }
  uint32_t rank() const { return rank_; }  // the worker whose settings they are
  const std::string& settings() const { return settings_; }

 private:
  bool exists_ = false;
  uint32_t rank_ = 0;
  std::string settings_;
};

}  // namespace cddp

#endif  // COMMON_AGREEMENT_AGREEMENT_H_
