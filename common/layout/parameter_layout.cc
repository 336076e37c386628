#include "common/layout/parameter_layout.h"

#include <algorithm>
#include <bit>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace cddp {
namespace {

std::string Describe(const TensorSpec& tensor) {
  constexpr const char* kKinds[] = {"", " (buffer)", " (counter)"};
  return absl::StrCat(tensor.name, "[", absl::StrJoin(tensor.shape, ","), "]", kKinds[static_cast<int>(tensor.kind)]);
}

absl::StatusOr<uint64_t> ElementCount(const TensorSpec& tensor) {
  uint64_t count = 1;
  for (int64_t extent : tensor.shape) {
    if (extent <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", Describe(tensor), " has an extent below 1"));
    }
    if (count > ParameterLayout::kMaxElements / static_cast<uint64_t>(extent)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", Describe(tensor), " has too many elements"));
    }
    count *= static_cast<uint64_t>(extent);
  }
  return count;
}

// FNV-1a, 64 bits: the same on every machine and in every build, unlike absl::Hash.
uint64_t Fnv1a(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char byte : text) hash = (hash ^ byte) * 0x100000001b3;
  return hash;
}

}  // namespace

uint64_t ParameterLayout::DefaultBucketElements(uint64_t parameter_elements) {
  return std::clamp<uint64_t>(std::bit_ceil(parameter_elements / 32), uint64_t{1} << 14, uint64_t{1} << 19);
}

absl::StatusOr<ParameterLayout> ParameterLayout::Create(std::vector<TensorSpec> tensors, uint64_t bucket_elements) {
  if (tensors.empty() || tensors.front().kind != TensorKind::kParameter) {
    return absl::InvalidArgumentError("a model needs at least one parameter");
  }
  ParameterLayout layout;
  layout.offsets_.push_back(0);
  std::set<std::string> names;
  std::string description;
  TensorKind last = TensorKind::kParameter;
  for (const TensorSpec& tensor : tensors) {
    absl::StatusOr<uint64_t> count = ElementCount(tensor);
    if (!count.ok()) return count.status();
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("two tensors are named '", tensor.name, "'"));
    }
    if (tensor.kind < last) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Describe(tensor), " is out of order: first parameters, then buffers, then counters"));
    }
    if (tensor.kind == TensorKind::kCounter && *count != 1) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", Describe(tensor), " must be one number"));
    }
    last = tensor.kind;
    if (tensor.kind != TensorKind::kCounter) layout.total_elements_ += *count;
    if (tensor.kind == TensorKind::kParameter) layout.parameter_elements_ = layout.total_elements_;
    if (layout.total_elements_ > kMaxElements) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxElements, " parameters"));
    }
    layout.offsets_.push_back(layout.total_elements_);
    absl::StrAppend(&description, Describe(tensor), ";");
  }
  layout.bucket_elements_ = bucket_elements != 0 ? bucket_elements : DefaultBucketElements(layout.parameter_elements_);
  if (layout.bucket_elements_ > kMaxBucketElements) {
    return absl::InvalidArgumentError(
        absl::StrCat("a bucket of ", layout.bucket_elements_, " elements is too long: at most ", kMaxBucketElements));
  }
  const auto cut = [&layout](uint64_t elements) {
    return (elements + layout.bucket_elements_ - 1) / layout.bucket_elements_;
  };
  const uint64_t parameter_buckets = cut(layout.parameter_elements_);
  const uint64_t buckets = parameter_buckets + cut(layout.total_elements_ - layout.parameter_elements_);
  if (buckets > UINT32_MAX) {
    return absl::InvalidArgumentError(absl::StrCat(buckets, " buckets are too many: use a larger bucket"));
  }
  layout.bucket_count_ = static_cast<uint32_t>(buckets);
  layout.parameter_buckets_ = static_cast<uint32_t>(parameter_buckets);
  layout.tensors_ = std::move(tensors);

  absl::StrAppend(&description, layout.bucket_elements_);
  layout.fingerprint_ = Fnv1a(description);
  return layout;
}

ElementRange ParameterLayout::bucket_range(uint32_t bucket) const {
  if (bucket < parameter_buckets_) {
    const uint64_t begin = bucket * bucket_elements_;
    return {begin, std::min(begin + bucket_elements_, parameter_elements_)};
  }
  const uint64_t begin = parameter_elements_ + (bucket - parameter_buckets_) * bucket_elements_;
  return {begin, std::min(begin + bucket_elements_, total_elements_)};
}

std::vector<ElementRange> ParameterLayout::SmallTensorRanges(uint32_t bucket, uint64_t below) const {
  const ElementRange range = bucket_range(bucket);
  std::vector<ElementRange> small;
  size_t tensor = std::upper_bound(offsets_.begin(), offsets_.end(), range.begin) - offsets_.begin() - 1;
  for (; tensor < tensors_.size() && offsets_[tensor] < range.end; ++tensor) {
    if (tensor_range(tensor).size() >= below) continue;
    const ElementRange part = {std::max(offsets_[tensor], range.begin) - range.begin,
                               std::min(offsets_[tensor + 1], range.end) - range.begin};
    if (!small.empty() && small.back().end == part.begin) {
      small.back().end = part.end;
    } else {
      small.push_back(part);
    }
  }
  return small;
}

std::string ParameterLayout::DescribeDifference(const ParameterLayout& there) const {
  const size_t common = std::min(tensors_.size(), there.tensors_.size());
  for (size_t i = 0; i < common; ++i) {
    if (tensors_[i] != there.tensors_[i]) {
      return absl::StrCat("tensor ", i, " is ", Describe(tensors_[i]), " here, ", Describe(there.tensors_[i]),
                          " there");
    }
  }
  if (tensors_.size() != there.tensors_.size()) {
    return absl::StrCat(tensors_.size(), " tensors here, ", there.tensors_.size(), " there");
  }
  if (bucket_elements_ != there.bucket_elements_) {
    return absl::StrCat("buckets of ", bucket_elements_, " elements here, ", there.bucket_elements_, " there");
  }
  return "";
}

}  // namespace cddp
