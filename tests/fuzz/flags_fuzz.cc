// Any bytes as a file of flags, and as the texts of flags that have a form of their own.
// Input: which (1 byte), then the text.

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/agreement/agreement.h"
#include "common/agreement/run_identity.h"
#include "common/config/command_line.h"
#include "common/config/device_choice.h"
#include "common/config/ratio_choice.h"
#include "common/net/host_port.h"
#include "common/transport/address.h"
#include "deploy/ctl/split_words.h"
#include "deploy/plan/plan_input.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "worker/optimizer/parameter_groups.h"
#include "worker/rounds/adaptive_ratio.h"

namespace {

void TakeAddresses(const std::string& text) {
  const absl::StatusOr<cddp::HostPort> address = cddp::ParseHostPort(text, cddp::PortUse::kListen);
  if (address.ok()) Check(cddp::ParseHostPort(address->ToString(), cddp::PortUse::kListen).ok());
  const absl::StatusOr<std::vector<std::string>> addresses = cddp::ParseAddresses(text);
  if (addresses.ok()) Check(!addresses->empty());
}

// What is taken can be written and is taken again.
template <typename Choice>
void TakeChoice(const std::string& text) {
  Choice choice;
  std::string error;
  if (AbslParseFlag(text, &choice, &error)) Check(AbslParseFlag(AbslUnparseFlag(choice), &choice, &error));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ScratchFile& file = *new ScratchFile();
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 7) {
    case 0:
      // Files may name others, of which there are none that matter.
      if (text.find("flagfile") != std::string::npos) break;
      cddp::ParseCommandLine({"--flagfile=" + file.Write(text)}).IgnoreError();
      break;
    case 1:
      TakeAddresses(text);
      break;
    case 2:
      cddp::ctl::SplitWords(text).IgnoreError();
      break;
    case 3:
      TakeChoice<cddp::RatioChoice>(text);
      TakeChoice<cddp::DeviceChoice>(text);
      break;
    case 4:
      Check(cddp::Differences(text, "").empty() == (text.find_first_not_of(' ') == std::string::npos));
      cddp::CheckRunName("--run", text).IgnoreError();
      break;
    case 5:
      cddp::plan::ParseRate(text).IgnoreError();
      cddp::plan::ParseCosts(text).IgnoreError();
      cddp::ParseParameterGroups(text).IgnoreError();
      break;
    default: {  // decisions of --ratio=auto
      const cddp::RatioChoice repeat = {cddp::RatioChoice::Kind::kRepeat, 0, file.Write(text)};
      cddp::AdaptiveRatio::Create(repeat, "").IgnoreError();
    }
  }
  return 0;
}
