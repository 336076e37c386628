#include "worker/cuda/device_compressor.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/gap8.h"
#include "common/codec/little_endian.h"
#include "common/codec/update_header.h"
#include "common/codec/value_codec.h"
#include "common/compress/candidates.h"
#include "worker/cuda/collect_kernels.h"
#include "worker/cuda/encode_kernels.h"

namespace cddp {
namespace {

// The device's code repeats these constants because it takes no header with absl.
static_assert(device::kHeaderBytes == kUpdateHeaderBytes && device::kIndexBlockSize == kIndexBlock);
static_assert(device::kEntryBytes == kIndexEntryBytes && device::kNoCandidatesKey == kNoCandidates);
static_assert(device::kGap8Code == static_cast<uint32_t>(IndexEncoding::kGap8));
static_assert(static_cast<uint32_t>(ValueEncoding::kFp16) == 1);

uint32_t CodeBits(ValueEncoding encoding) {
  switch (encoding) {
    case ValueEncoding::kInt8:
      return 8;
    case ValueEncoding::kInt4:
      return 4;
    case ValueEncoding::kInt2:
      return 2;
    case ValueEncoding::kTernary:
      return 1;
    default:
      return 0;
  }
}

device::PipelineOptions MakeOptions(uint32_t length, const CompressorOptions& options) {
  device::PipelineOptions made;
  made.length = length;
  for (const BucketSlice& slice : options.always_sent) {
    made.wanted.forced += slice.end - slice.begin;
    made.forced_bits.resize(size_t{device::Blocks(length, device::kTile)} * (device::kTile / 32));
    for (uint32_t i = slice.begin; i < slice.end; ++i) made.forced_bits[i / 32] |= 1u << i % 32;
  }
  const uint32_t eligible = length - made.wanted.forced;
  const uint32_t k = eligible == 0 ? 0 : SelectedCount(eligible, options.ratio);
  made.wanted.k = k;
  // Room for three times what is selected, as on the CPU.
  made.wanted.candidate_room =
      static_cast<uint32_t>(made.wanted.forced + std::min<uint64_t>(eligible, 3 * uint64_t{k} + 4096));
  const uint64_t most = options.selection == Selection::kThreshold ? 2 * uint64_t{k} : k;
  made.most_selected = static_cast<uint32_t>(made.wanted.forced + std::min<uint64_t>(eligible, most));
  made.value_encoding = static_cast<uint32_t>(options.value_encoding);
  made.code_bits = CodeBits(options.value_encoding);
  if (made.code_bits == 0) made.value_bytes = static_cast<uint32_t>(EncodedValueBytes(options.value_encoding, 1));
  made.most_bytes = static_cast<uint32_t>(kUpdateHeaderBytes + IndexBlockCount(made.most_selected) * kIndexEntryBytes +
                                          made.most_selected + length / device::kGapEscape +
                                          EncodedValueBytes(options.value_encoding, made.most_selected));
  return made;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceCompressor>> DeviceCompressor::Create(uint32_t length,
                                                                           const CompressorOptions& options,
                                                                           const PipelineFactory& make_pipeline) {
  // The CPU's class checks the options; it is not kept.
  if (auto checked = BucketCompressor::Create(length, options); !checked.ok()) return checked.status();
  if (options.ratio == 1 || options.index_encoding != IndexEncoding::kGap8) {
    return absl::UnimplementedError(absl::StrCat("the device encodes with gap8 and a ratio below 1, not ",
                                                 Name(options.index_encoding), " and ratio ", options.ratio,
                                                 "; compress on the CPU"));
  }
  const device::PipelineOptions made = MakeOptions(length, options);
  absl::StatusOr<std::unique_ptr<device::DevicePipeline>> pipeline = make_pipeline(made);
  if (!pipeline.ok()) return pipeline.status();
  return std::unique_ptr<DeviceCompressor>(new DeviceCompressor(options, made.wanted, *std::move(pipeline)));
}

absl::Status DeviceCompressor::DeviceError() const {
  return absl::InternalError(absl::StrCat("device: ", pipeline_->error()));
}

absl::Status DeviceCompressor::Start(const float* input, float* residual) {
  least_key_ = adaptive_.known() ? adaptive_.key() : carried_.known() ? carried_.least_key() : kNoCandidates;
  const bool queued =
      pipeline_->Pass(input, residual, least_key_, adaptive_.known()) && pipeline_->Send(least_key_ == kNoCandidates);
  return queued ? absl::OkStatus() : DeviceError();
}

absl::StatusOr<CompressResult> DeviceCompressor::Finish(absl::string_view* update) {
  if (!pipeline_->Wait()) return DeviceError();
  if (pipeline_->state().input_bad != 0) return absl::InvalidArgumentError("input holds NaN or infinity");
  if (pipeline_->state().residual_bad != 0) return absl::FailedPreconditionError("residual holds NaN");
  device::Wanted wanted = wanted_;
  wanted.any_near_k = adaptive_.known();
  const uint32_t candidates = pipeline_->state().candidates;
  const bool overflow = candidates > wanted_.candidate_room;
  const bool took_all = least_key_ != kNoCandidates && !overflow && wanted.TakesAll(candidates);
  if (pipeline_->state().selected == 0 && !(pipeline_->Send(true) && pipeline_->Wait())) return DeviceError();

  const device::StepState& state = pipeline_->state();
  CompressResult result;
  result.selected = state.selected;
  result.threshold = std::bit_cast<float>(state.threshold_key);
  result.residual_sq = std::max(0.0, state.sum_sq - state.sent_sq);
  if (took_all) {
    adaptive_.Adapt(candidates - wanted_.forced, wanted_.k);
  } else if (wanted_.k > 0) {
    if (least_key_ != kNoCandidates) {
      carried_.Judge(candidates < wanted_.forced ? 0 : candidates - wanted_.forced, wanted_.k, overflow);
    }
    carried_.Carry(result.threshold);
    if (selection_ == Selection::kThreshold) adaptive_.Set(result.threshold);
  }
  const uint8_t* const bytes = pipeline_->bytes();
  const size_t size = kUpdateHeaderBytes + LoadLe<uint32_t>(bytes + 12) + LoadLe<uint32_t>(bytes + 16);
  *update = absl::string_view(reinterpret_cast<const char*>(bytes), size);
  return result;
}

}  // namespace cddp
