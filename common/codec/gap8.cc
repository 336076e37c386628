#include "common/codec/gap8.h"

#include "absl/strings/str_cat.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/codec/gap8.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#ifndef CDDP_GAP8_ONCE
#define CDDP_GAP8_ONCE
namespace cddp {

inline constexpr uint32_t kEscape = 255;

struct GapSums {
  uint64_t bytes = 0;    // sum of all bytes
  uint64_t escapes = 0;  // number of escapes
};

}  // namespace cddp
#endif  // CDDP_GAP8_ONCE

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

GapSums SumGaps(const uint8_t* from, size_t size) {
  const hn::ScalableTag<uint8_t> db;
  const hn::Repartition<uint64_t, decltype(db)> dq;
  const size_t lanes = hn::Lanes(db);
  const auto escape = hn::Set(db, kEscape);
  const auto one = hn::Set(db, 1);
  auto bytes = hn::Zero(dq);
  auto escapes = hn::Zero(dq);
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto gaps = hn::LoadU(db, from + i);
    bytes = hn::Add(bytes, hn::SumsOf8(gaps));
    escapes = hn::Add(escapes, hn::SumsOf8(hn::IfThenElseZero(hn::Eq(gaps, escape), one)));
  }
  GapSums sums = {hn::GetLane(hn::SumOfLanes(dq, bytes)), hn::GetLane(hn::SumOfLanes(dq, escapes))};
  for (; i < size; ++i) {
    sums.bytes += from[i];
    sums.escapes += from[i] == kEscape ? 1 : 0;
  }
  return sums;
}

// Sums a vector of bytes at a time in place (log2(lanes) shifts and adds), then drops the lanes of escapes.
void DecodeGaps(const uint8_t* from, size_t size, uint32_t base, uint32_t* to) {
  const hn::ScalableTag<uint32_t> du;
  const hn::Rebind<uint8_t, decltype(du)> db;
  const size_t lanes = hn::Lanes(du);
  const auto escape = hn::Set(du, kEscape);
  const auto one = hn::Set(du, 1);
  const auto lane = hn::Iota(du, 0);
  const auto last = hn::IndicesFromVec(du, hn::Set(du, static_cast<uint32_t>(lanes - 1)));
  const auto shifted = [du, lane](auto sums, uint32_t distance) HWY_ATTR {
    const auto by = hn::Set(du, distance);
    const auto inside = hn::Not(hn::Lt(lane, by));
    const auto source = hn::IfThenElseZero(inside, hn::Sub(lane, by));
    return hn::IfThenElseZero(inside, hn::TableLookupLanes(sums, hn::IndicesFromVec(du, source)));
  };
  auto previous = hn::Set(du, base - 1);  // the index before, in all lanes
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto gaps = hn::PromoteTo(du, hn::LoadU(db, from + i));
    const auto ends = hn::Ne(gaps, escape);
    auto sums = hn::Add(gaps, hn::IfThenElseZero(ends, one));
    for (uint32_t distance = 1; distance < hn::MaxLanes(du); distance *= 2) {
      if (distance < lanes) sums = hn::Add(sums, shifted(sums, distance));
    }
    hn::StoreU(hn::Compress(hn::Add(sums, previous), ends), du, to);
    to += hn::CountTrue(du, ends);
    previous = hn::Add(previous, hn::TableLookupLanes(sums, last));
  }
  uint32_t next = hn::GetLane(previous) + 1;
  for (; i < size; ++i) {
    next += from[i];
    if (from[i] != kEscape) *to++ = next++;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(SumGaps);
HWY_EXPORT(DecodeGaps);

void AppendGap8(absl::Span<const uint32_t> indices, uint32_t length, std::string* bytes) {
  if (indices.empty()) return;
  const size_t start = bytes->size();
  const size_t entries_bytes = (IndexBlockCount(indices.size()) - 1) * kIndexEntryBytes;
  bytes->resize(start + entries_bytes + indices.size() + length / kEscape);
  auto* const part = reinterpret_cast<uint8_t*>(bytes->data()) + start;
  uint8_t* const codes = part + entries_bytes;
  uint8_t* to = codes;
  uint32_t base = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (i % kIndexBlock == 0 && i > 0) {
      WriteIndexEntry(i / kIndexBlock, base, static_cast<uint32_t>(to - codes), part);
    }
    uint32_t gap = indices[i] - base;
    base = indices[i] + 1;
    while (gap >= 2 * kEscape) {
      *to++ = static_cast<uint8_t>(kEscape);
      gap -= kEscape;
    }
    // One escape in thirteen indices, as at 1 % density, is too many for a branch; two at once are rare.
    const uint32_t escapes = gap >= kEscape ? 1 : 0;
    to[0] = static_cast<uint8_t>(kEscape);
    to[escapes] = static_cast<uint8_t>(gap - escapes * kEscape);
    to += 1 + escapes;
  }
  bytes->resize(start + static_cast<size_t>(to - part));
}

absl::Status ValidateGap8(absl::Span<const uint8_t> part, size_t count, uint32_t length) {
  if (absl::Status status = ValidateIndexEntries(part, count, length); !status.ok()) return status;
  if (count == 0 && !part.empty()) return absl::InvalidArgumentError("index part without indices is not empty");
  for (size_t number = 0; number < IndexBlockCount(count); ++number) {
    const IndexBlock block = GetIndexBlock(part, count, length, number);
    const GapSums sums = HWY_DYNAMIC_DISPATCH(SumGaps)(block.bytes.data(), block.bytes.size());
    const uint64_t ends = block.bytes.size() - sums.escapes;
    const uint64_t beyond = block.base + sums.bytes + ends;  // one more than the last index
    if (ends != block.count || block.bytes.back() == kEscape || beyond > block.limit ||
        (!block.last && beyond != block.limit)) {
      return absl::InvalidArgumentError(absl::StrCat("gaps of index block ", number, " do not fit its entry points"));
    }
  }
  return absl::OkStatus();
}

void DecodeGap8Block(const IndexBlock& block, uint32_t* to) {
  HWY_DYNAMIC_DISPATCH(DecodeGaps)(block.bytes.data(), block.bytes.size(), block.base, to);
}

}  // namespace cddp
#endif  // HWY_ONCE
