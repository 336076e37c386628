#include "worker/cuda/update_stage.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "common/check/check.h"
#include "common/codec/update_header.h"
#include "worker/cuda/bucket_plans.h"
#include "worker/cuda/transcode.h"

namespace cddp {
namespace {

constexpr size_t kLeastCapacity = size_t{4} << 20;

// The largest update's bytes, a whole bucket with 8-bit gaps and fp32, plus its part of the tables.
size_t MostBytes(uint32_t longest) { return size_t{longest} * 5 + longest / 32 + 4096; }

}  // namespace

UpdateStage::UpdateStage(HostBlocks* blocks, uint32_t longest)
    : blocks_(*blocks),
      most_bytes_(MostBytes(longest)),
      capacity_(std::max(kLeastCapacity, 2 * most_bytes_) + kJobsBytes) {}

bool UpdateStage::Begin() {
  if (block_ == nullptr) block_ = blocks_.Take(capacity_);
  return block_ != nullptr;
}

uint64_t UpdateStage::Append(const void* bytes, size_t size) {
  CDDP_CHECK(used_ + size <= capacity_) << size << " bytes after " << used_ << " of " << capacity_;
  const size_t at = used_;
  std::memcpy(block_.get() + at, bytes, size);
  used_ += size;
  return at;
}

// The kernel's blocks begin in the middle of a bitmap, and need the number of ones before that.
void UpdateStage::AppendRanks(const UpdateParts& parts, device::UpdateJob* job) {
  used_ = (used_ + 3) / 4 * 4;
  job->ranks_at = used_;
  uint32_t rank = 0;
  for (size_t first = 0; first < parts.index.size(); first += device::kBitmapChunk / 8) {
    Append(&rank, sizeof(rank));
    for (const uint8_t byte : parts.index.subspan(first, device::kBitmapChunk / 8)) {
      rank += static_cast<uint32_t>(std::popcount(byte));
    }
  }
}

bool UpdateStage::Add(float* target, const CheckedUpdate& update, device::UpdateJob::Action action) {
  if (update.info().count == 0) return true;
  if (!Begin()) return false;
  const UpdateParts parts = *SplitUpdate(update.bytes(), update.info().length);
  device::UpdateJob job = {};
  job.length = parts.info.length;
  job.count = parts.info.count;
  job.action = action;
  job.coding = CodingOf(parts.info.value_encoding);
  job.values_at = Append(parts.values.data(), parts.values.size());
  std::string gaps;
  absl::Span<const uint8_t> index = parts.index;
  switch (parts.info.index_encoding) {
    case IndexEncoding::kDense:
      job.form = device::UpdateJob::kDense;
      break;
    case IndexEncoding::kGap8:
      job.form = device::UpdateJob::kGaps;
      break;
    case IndexEncoding::kRice:
      job.form = device::UpdateJob::kGaps;
      gaps = GapsOf(update);
      index = absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(gaps.data()), gaps.size());
      break;
    case IndexEncoding::kBitmap:
      job.form = device::UpdateJob::kBitmap;
      AppendRanks(parts, &job);
      break;
  }
  job.index_at = Append(index.data(), index.size());
  job.index_bytes = static_cast<uint32_t>(index.size());
  AddJob(target, job);
  return true;
}

bool UpdateStage::Fill(float* target, uint32_t length) {
  if (!Begin()) return false;
  device::UpdateJob job = {};
  job.length = length;
  job.form = device::UpdateJob::kFill;
  AddJob(target, job);
  return true;
}

void UpdateStage::AddJob(float* target, device::UpdateJob job) {
  job.target = target;
  const size_t layer = layers_of_[target]++;
  if (layer == layers_.size()) layers_.emplace_back();
  layers_[layer].push_back(job);
  ++jobs_;
}

StagedUpdates UpdateStage::Take() {
  StagedUpdates staged;
  used_ = (used_ + 15) / 16 * 16;
  staged.jobs_at = used_;
  for (const std::vector<device::UpdateJob>& layer : layers_) {
    uint32_t most_blocks = 0;
    for (const device::UpdateJob& job : layer) most_blocks = std::max(most_blocks, device::JobBlocks(job));
    Append(layer.data(), layer.size() * sizeof(device::UpdateJob));
    staged.layers.push_back({static_cast<uint32_t>(layer.size()), most_blocks});
  }
  staged.bytes = used_;
  staged.block = std::exchange(block_, nullptr);
  used_ = 0;
  layers_.clear();
  jobs_ = 0;
  layers_of_.clear();
  return staged;
}

}  // namespace cddp
