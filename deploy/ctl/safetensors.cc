#include "deploy/ctl/safetensors.h"

#include <nlohmann/json.hpp>

#include "common/codec/little_endian.h"
#include "common/files/durable_file.h"

namespace cddp::ctl {

absl::Status WriteSafetensors(const std::string& path, const ParameterLayout& layout, absl::Span<const float> weights,
                              uint64_t version) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}, {"version", std::to_string(version)}};
  for (size_t i = 0; i < layout.tensors().size(); ++i) {
    const ElementRange range = layout.tensor_range(i);
    header[layout.tensors()[i].name] = {{"dtype", "F32"},
                                        {"shape", layout.tensors()[i].shape},
                                        {"data_offsets", {range.begin * sizeof(float), range.end * sizeof(float)}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  std::string bytes(8, '\0');
  StoreLe<uint64_t>(text.size(), bytes.data());
  bytes += text;
  bytes.append(reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float));
  return ReplaceFile(path, bytes);
}

}  // namespace cddp::ctl
