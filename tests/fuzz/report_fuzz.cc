// Any bytes as what `cddp` reads of other programs and runs: a worker's line of progress, report.json, a model's
// shapes. Input: which (1 byte), then the text.

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "deploy/ctl/run_record.h"
#include "deploy/ctl/worker_events.h"
#include "deploy/plan/workload.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ScratchFile& file = *new ScratchFile();
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0:
      cddp::ctl::ParseWorkerEvent(text).IgnoreError();
      break;
    case 1:
      cddp::ctl::ReadRun(file.Write(text)).IgnoreError();
      break;
    default: {
      const auto tensors = cddp::plan::ParseShapes(text);
      if (!tensors.ok()) break;
      for (const cddp::plan::CostedTensor& tensor : *tensors) Check(std::isfinite(tensor.cost) && tensor.cost >= 0);
    }
  }
  return 0;
}
