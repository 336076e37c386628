// Any bytes as a file of training data: NumPy's, safetensors, an archive of such, IDX. What is taken has as many bytes
// as its shape says.
// Input: the format (1 byte), then the file.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "worker/data/idx_file.h"
#include "worker/data/npy.h"
#include "worker/data/safetensors.h"
#include "worker/data/zip_file.h"

namespace {

void CheckArray(const cddp::Array& array) { Check(cddp::BytesOf(array.type, array.shape) == array.bytes.size()); }

void TakeZip(const std::string& path) {
  absl::StatusOr<cddp::ZipFile> zip = cddp::ZipFile::Open(path);
  if (!zip.ok()) return;
  for (const std::string& name : zip->names()) {
    const absl::StatusOr<std::string> content = zip->Read(name);
    if (content.ok()) cddp::ParseNpy(*content).IgnoreError();
  }
}

void TakeIdx(const std::string& path, uint32_t dimensions) {
  const absl::StatusOr<cddp::IdxArray> array = cddp::ReadIdxFile(path, dimensions);
  if (!array.ok()) return;
  Check(array->extents.size() == dimensions);
  uint64_t size = 1;
  for (const uint32_t extent : array->extents) size *= extent;
  Check(size == array->bytes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ScratchFile& file = *new ScratchFile();
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 5) {
    case 0: {
      const absl::StatusOr<cddp::Array> array = cddp::ParseNpy(bytes);
      if (array.ok()) CheckArray(*array);
      break;
    }
    case 1: {
      const auto arrays = cddp::ParseSafetensors(bytes);
      if (!arrays.ok()) break;
      for (const auto& [name, array] : *arrays) CheckArray(array);
      break;
    }
    case 2:
      TakeZip(file.Write(bytes));
      break;
    case 3:
      TakeIdx(file.Write(bytes), 1);
      break;
    default:
      TakeIdx(file.Write(bytes), 3);
  }
  return 0;
}
