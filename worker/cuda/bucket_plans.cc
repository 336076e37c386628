#include "worker/cuda/bucket_plans.h"

#include <algorithm>

#include "common/codec/index_blocks.h"
#include "common/codec/update_header.h"
#include "common/codec/value_codec.h"
#include "common/compress/bucket_compressor.h"
#include "worker/cuda/encode_kernels.h"

namespace cddp {
namespace {

// The device's code repeats these constants because it takes no header with absl.
static_assert(device::kHeaderBytes == kUpdateHeaderBytes && device::kIndexBlock == kIndexBlock);
static_assert(device::kEntryBytes == kIndexEntryBytes);
static_assert(device::kGap8Code == static_cast<uint32_t>(IndexEncoding::kGap8));
static_assert(device::kFp32Code == static_cast<uint32_t>(ValueEncoding::kFp32));
static_assert(device::kFp16Code == static_cast<uint32_t>(ValueEncoding::kFp16));
static_assert(device::kBf16Code == static_cast<uint32_t>(ValueEncoding::kBf16));

// Room for three times the selected number, as on the CPU.
uint32_t CandidateRoom(uint32_t eligible, uint32_t k) {
  return static_cast<uint32_t>(std::min<uint64_t>(eligible, 3 * uint64_t{k} + 4096));
}

// Marks the elements of `bucket` that are always sent; returns their number.
uint32_t AddForced(const ParameterLayout& layout, uint64_t small_tensor_elements, uint32_t bucket, BucketPlans* plans) {
  uint32_t forced = 0;
  plans->forced_at.push_back(SIZE_MAX);
  for (const ElementRange& range : layout.SmallTensorRanges(bucket, small_tensor_elements)) {
    if (forced == 0) {
      plans->forced_at.back() = plans->forced_bits.size();
      const uint32_t tiles = device::Blocks(layout.bucket_length(bucket), device::kTile);
      plans->forced_bits.resize(plans->forced_bits.size() + size_t{tiles} * (device::kTile / 32));
    }
    uint32_t* const bits = plans->forced_bits.data() + plans->forced_at.back();
    for (uint64_t i = range.begin; i < range.end; ++i) bits[i / 32] |= 1u << i % 32;
    forced += static_cast<uint32_t>(range.size());
  }
  return forced;
}

void AddBucket(const ParameterLayout& layout, uint32_t bucket, uint32_t forced, double ratio, Selection selection,
               BucketPlans* plans) {
  device::BucketPlan plan;
  plan.begin = layout.bucket_range(bucket).begin;
  plan.length = layout.bucket_length(bucket);
  const uint32_t eligible = plan.length - forced;
  plan.wanted.forced = forced;
  plan.wanted.k = eligible == 0 ? 0 : SelectedCount(eligible, ratio);
  plan.wanted.candidate_room = forced + CandidateRoom(eligible, plan.wanted.k);
  const uint64_t most = selection == Selection::kThreshold ? 2 * uint64_t{plan.wanted.k} : plan.wanted.k;
  const auto most_selected = static_cast<uint32_t>(forced + std::min<uint64_t>(eligible, most));
  const uint32_t tiles = device::Blocks(plan.length, device::kTile);
  plan.first_tile = plans->tiles;
  plan.counts_at = plans->counts;
  plan.candidates_at = plans->candidates;
  plan.selected_at = plans->selected;
  plan.escapes_at = plans->escapes;
  plans->tiles += tiles;
  plans->counts += std::max(tiles, device::Blocks(plan.wanted.candidate_room, device::kTile));
  plans->candidates += plan.wanted.candidate_room;
  plans->selected += most_selected;
  plans->escapes += device::Blocks(most_selected, device::kPart);
  plans->most_selected.push_back(most_selected);
  plans->most_bytes.push_back(device::PaddedBytes(device::kHeaderBytes +
                                                  device::IndexBytes(most_selected, plan.length / device::kGapEscape) +
                                                  plans->coding.Bytes(most_selected)));
  plans->buckets.push_back(plan);
}

}  // namespace

device::ValueCoding CodingOf(ValueEncoding encoding) {
  device::ValueCoding coding;
  coding.encoding = static_cast<uint32_t>(encoding);
  coding.code_bits = static_cast<uint32_t>(CodeBits(encoding));
  if (coding.code_bits == 0) coding.value_bytes = static_cast<uint32_t>(EncodedValueBytes(encoding, 1));
  return coding;
}

absl::StatusOr<BucketPlans> PlanBuckets(const ParameterLayout& layout, const GradientCompressorOptions& options,
                                        double ratio) {
  BucketPlans plans;
  plans.coding = CodingOf(options.compressor.value_encoding);
  for (uint32_t bucket = 0; bucket < layout.bucket_count(); ++bucket) {
    if (layout.bucket_kind(bucket) == TensorKind::kBuffer) break;
    // Only checks the options, by the CPU's class.
    CompressorOptions of_bucket = options.compressor;
    of_bucket.ratio = ratio;
    auto checked = BucketCompressor::Create(layout.bucket_length(bucket), of_bucket);
    if (!checked.ok()) return checked.status();
    const uint32_t forced = AddForced(layout, options.small_tensor_elements, bucket, &plans);
    AddBucket(layout, bucket, forced, ratio, options.compressor.selection, &plans);
  }
  return plans;
}

}  // namespace cddp
