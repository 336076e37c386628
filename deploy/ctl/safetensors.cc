#include "deploy/ctl/safetensors.h"

#include <nlohmann/json.hpp>

#include "common/codec/byte_io.h"
#include "common/codec/little_endian.h"
#include "common/files/durable_file.h"
#include "common/layout/agreed_tensor.h"

namespace cddp::ctl {

absl::Status WriteSafetensors(const std::string& path, const ParameterLayout& layout, absl::Span<const float> weights,
                              uint64_t version, uint64_t steps) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}, {"version", std::to_string(version)}};
  std::string counters;  // in front, where they are aligned
  for (const TensorSpec& tensor : layout.tensors()) {
    if (tensor.kind != TensorKind::kCounter) continue;
    const size_t begin = counters.size();
    ByteWriter(&counters).Put<int64_t>(static_cast<int64_t>(steps));
    header[tensor.name] = {{"dtype", "I64"}, {"shape", tensor.shape}, {"data_offsets", {begin, counters.size()}}};
  }
  uint64_t elements = 0;
  for (size_t i = 0; i < layout.tensors().size(); ++i) {
    const TensorSpec& tensor = layout.tensors()[i];
    if (tensor.kind == TensorKind::kCounter || !IsOfModel(tensor)) continue;
    const ElementRange range = layout.tensor_range(i);
    elements = range.end;
    const size_t begin = counters.size() + range.begin * sizeof(float);
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, begin + range.size() * sizeof(float)}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  std::string bytes(8, '\0');
  StoreLe<uint64_t>(text.size(), bytes.data());
  bytes += text;
  bytes += counters;
  bytes.append(reinterpret_cast<const char*>(weights.data()), elements * sizeof(float));
  return ReplaceFile(path, bytes);
}

}  // namespace cddp::ctl
