// --device: where a worker computes, as the user gives it.

#ifndef COMMON_CONFIG_DEVICE_CHOICE_H_
#define COMMON_CONFIG_DEVICE_CHOICE_H_

#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace cddp {

struct DeviceChoice {
  enum class Kind {
    kCpu,
    kCuda,  // an NVIDIA GPU, or an error
    kAuto,  // a GPU if one can be used, else the processors
  };
  Kind kind = Kind::kCpu;
  std::optional<int> gpu = std::nullopt;  // with kCuda, CUDA's number of the GPU; none: the workers share all GPUs here

  friend bool operator==(const DeviceChoice&, const DeviceChoice&) = default;
};

// For ABSL_FLAG: "cpu", "cuda", "cuda:1", "auto".
inline bool AbslParseFlag(absl::string_view text, DeviceChoice* choice, std::string* error) {
  *choice = {};
  if (text == "cpu") return true;
  choice->kind = text == "auto" ? DeviceChoice::Kind::kAuto : DeviceChoice::Kind::kCuda;
  if (text == "auto" || text == "cuda") return true;
  int gpu = 0;
  if (absl::ConsumePrefix(&text, "cuda:") && absl::SimpleAtoi(text, &gpu) && gpu >= 0) {
    choice->gpu = gpu;
    return true;
  }
  *error = "use cpu, cuda, cuda:N (the GPU's number, from 0) or auto";
  return false;
}

inline std::string AbslUnparseFlag(const DeviceChoice& choice) {
  if (choice.kind == DeviceChoice::Kind::kCpu) return "cpu";
  if (choice.kind == DeviceChoice::Kind::kAuto) return "auto";
  return choice.gpu.has_value() ? absl::StrCat("cuda:", *choice.gpu) : "cuda";
}

}  // namespace cddp

#endif  // COMMON_CONFIG_DEVICE_CHOICE_H_
