#include "deploy/plan/workload.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "common/layout/parameter_layout.h"

namespace cddp::plan {
namespace {

constexpr double kForwardPart = 1.0 / 3;      // of a pass; the backward pass computes twice as much
constexpr uint64_t kEvenTensors = 256;        // tensors that stand for a model of unknown shapes
constexpr uint64_t kSampleElements = 200000;  // encoded to measure the length of updates
constexpr uint64_t kSampleSeed = 1;

}  // namespace

absl::StatusOr<std::vector<CostedTensor>> ParseShapes(absl::string_view json) {
  const nlohmann::json list = nlohmann::json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!list.is_array() || list.empty()) return absl::InvalidArgumentError("is not a JSON list of tensors");
  std::vector<CostedTensor> model;
  double total = 0;
  for (const nlohmann::json& tensor : list) {
    if (!tensor.is_object() || !tensor.contains("shape") || !tensor["shape"].is_array()) {
      return absl::InvalidArgumentError("every tensor needs a \"shape\"");
    }
    CostedTensor made{1, 0};
    for (const nlohmann::json& extent : tensor["shape"]) {
      if (!extent.is_number_unsigned() || extent.get<uint64_t>() > ParameterLayout::kMaxElements) {
        return absl::InvalidArgumentError(absl::StrCat("'", extent.dump(), "' is not an extent"));
      }
      const auto length = extent.get<uint64_t>();
      if (length > 0 && made.elements > ParameterLayout::kMaxElements / length) {
        return absl::InvalidArgumentError("a tensor is too large");
      }
      made.elements *= length;
    }
    if (const auto cost = tensor.find("cost"); cost != tensor.end()) {
      if (!cost->is_number() || cost->get<double>() < 0) return absl::InvalidArgumentError("a cost is not a number");
      made.cost = cost->get<double>();
    }
    total += made.cost;
    model.push_back(made);
  }
  if (!std::isfinite(total)) return absl::InvalidArgumentError("the costs are too large to be added");
  if (total == 0) return absl::InvalidArgumentError("no tensor has a \"cost\"");
  return model;
}

std::vector<CostedTensor> EvenModel(uint64_t elements) {
  const uint64_t tensors = std::min(elements, kEvenTensors);
  std::vector<CostedTensor> model;
  for (uint64_t i = 0; i < tensors; ++i) {
    const uint64_t length = elements * (i + 1) / tensors - elements * i / tensors;
    model.push_back({length, static_cast<double>(length)});
  }
  return model;
}

std::vector<Bucket> MakeBuckets(const std::vector<CostedTensor>& model, uint64_t bucket_elements) {
  uint64_t total = 0;
  double total_cost = 0;
  for (const CostedTensor& tensor : model) {
    total += tensor.elements;
    total_cost += tensor.cost;
  }
  if (bucket_elements == 0) bucket_elements = ParameterLayout::DefaultBucketElements(total);
  // A bucket is ready when the first tensor that reaches into it is; tensors without a cost belong to the one before.
  std::vector<Bucket> buckets;
  uint64_t offset = 0;
  double before = 0, ready = 1;
  for (const CostedTensor& tensor : model) {
    if (tensor.cost > 0) ready = kForwardPart + (1 - kForwardPart) * (1 - before / total_cost);
    before += tensor.cost;
    for (offset += tensor.elements; buckets.size() * bucket_elements < offset;) {
      const uint64_t begin = buckets.size() * bucket_elements;
      buckets.push_back({std::min(bucket_elements, total - begin), ready});
    }
  }
  return buckets;
}

uint64_t SelectedOf(uint64_t elements, double ratio) {
  return std::clamp<uint64_t>(static_cast<uint64_t>(std::ceil(ratio * static_cast<double>(elements))), 1, elements);
}

double UpdateBytes(uint64_t elements, double ratio, ValueEncoding values, IndexEncoding indices) {
  const uint64_t sample = std::min(elements, kSampleElements);
  std::mt19937_64 random(kSampleSeed);
  std::normal_distribution<float> normal;
  std::vector<uint32_t> at;
  std::vector<float> numbers;
  std::string bytes;
  uint64_t left = SelectedOf(sample, ratio);
  for (uint64_t i = 0; i < sample && left > 0; ++i) {  // all sets of that size are equally likely (Knuth's algorithm S)
    if (random() % (sample - i) >= left) continue;
    --left;
    at.push_back(static_cast<uint32_t>(i));
    numbers.push_back(normal(random));
  }
  if (at.size() == sample) {
    EncodeDense(absl::MakeSpan(numbers), values, &bytes);
  } else {
    EncodeSparse(at, absl::MakeSpan(numbers), static_cast<uint32_t>(sample), indices, values, &bytes);
  }
  return static_cast<double>(bytes.size()) * static_cast<double>(elements) / static_cast<double>(sample);
}

}  // namespace cddp::plan
