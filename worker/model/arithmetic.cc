#include "worker/model/arithmetic.h"

#include <ATen/Version.h>
#include <torch/version.h>

#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace cddp {
namespace {

std::string Word(absl::string_view text) {
  return absl::StrReplaceAll(absl::StripAsciiWhitespace(text), {{" ", "_"}, {"=", "_"}});
}

// The text after `name` up to the end of its line; "unknown" if there is no such line.
std::string ValueOf(absl::string_view text, absl::string_view name) {
  const size_t at = text.find(name);
  if (at == absl::string_view::npos) return "unknown";
  const absl::string_view rest = text.substr(at + name.size());
  return Word(rest.substr(0, rest.find('\n')));
}

// "vendor/family/model" of the first processor, from Linux.
std::string Processor() {
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> found(3, "unknown");
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (parts.size() < 2) continue;
    const std::string name(absl::StripAsciiWhitespace(parts[0]));
    if (name == "vendor_id" || name == "CPU implementer") found[0] = Word(parts[1]);
    if (name == "cpu family" || name == "CPU architecture") found[1] = Word(parts[1]);
    if (name == "model" || name == "CPU part") found[2] = Word(parts[1]);
  }
  return absl::StrCat(found[0], "/", found[1], "/", found[2]);
}

}  // namespace

std::string ArithmeticKind(const Device& device, int threads) {
  const std::string libtorch = absl::StrCat(" libtorch=", TORCH_VERSION);
  if (device.is_gpu) return absl::StrCat("device=cuda", libtorch);
  return absl::StrCat("device=cpu", libtorch, " vectors=", ValueOf(at::show_config(), "CPU capability usage: "),
                      " processor=", Processor(), " threads=", threads);
}

}  // namespace cddp
