#include "common/compress/threshold_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace cddp {
namespace {

// Walks the bins from the last until at least `rank` elements are at or above; returns the bin, and in *above the
// number in later bins. The bins hold at least `rank`.
uint32_t BinOfRank(absl::Span<const uint32_t> bins, size_t rank, size_t* above) {
  *above = 0;
  auto bin = static_cast<uint32_t>(bins.size() - 1);
  for (; *above + bins[bin] < rank; --bin) *above += bins[bin];
  return bin;
}

// Collects the elements above `key` and the first `ties` equal to it.
void CollectExactly(absl::Span<const float> values, absl::Span<const BucketSlice> slices, uint32_t key, size_t ties,
                    Candidates* candidates) {
  size_t size = candidates->size();
  for (const BucketSlice& slice : slices) {
    for (uint32_t i = slice.begin; i < slice.end; ++i) {
      const uint32_t own_key = KeyOf(values[i]);
      if (own_key < key || (own_key == key && ties == 0)) continue;
      if (own_key == key) --ties;
      candidates->indices()[size] = i;
      candidates->values()[size] = values[i];
      ++size;
    }
  }
  candidates->set_size(size);
}

}  // namespace

uint32_t EstimateLeastKey(absl::Span<const float> a, absl::Span<const float> b, size_t k) {
  constexpr size_t kLine = 16;
  constexpr size_t kLines = 1024;
  constexpr int kShift = 18;  // bins of an octave / 32: 3 % at most
  std::vector<uint32_t> bins(kMagnitudeMask / (1u << kShift) + 1);
  const size_t lines = std::max<size_t>(1, std::min(kLines, a.size() / kLine));
  const size_t stride = a.size() / lines;
  uint32_t random = 1;
  size_t samples = 0;
  for (size_t line = 0; line < lines; ++line) {
    random = random * 1664525u + 1013904223u;
    const size_t room = stride - std::min(stride, kLine) + 1;
    const size_t begin = line * stride + (random >> 8) % room;
    const size_t end = std::min(a.size(), begin + kLine);
    for (size_t i = begin; i < end; ++i) ++bins[KeyOf(b.empty() ? a[i] : a[i] + b[i]) >> kShift];
    samples += end - begin;
  }
  const double expected = static_cast<double>(k) * static_cast<double>(samples) / static_cast<double>(a.size());
  const auto rank = static_cast<size_t>(expected + 4 * std::sqrt(expected) + 4);
  if (rank >= samples) return 0;
  size_t above;
  return BinOfRank(bins, rank, &above) << kShift;
}

uint32_t CollectLargest(absl::Span<const float> values, absl::Span<const BucketSlice> slices, size_t k,
                        Candidates* candidates) {
  struct Digit {
    int shift;
    int bits;
  };
  constexpr Digit kDigits[] = {{20, 11}, {10, 10}, {0, 10}};
  uint32_t key = 0;   // digits found so far
  size_t larger = 0;  // elements whose found digits are larger
  candidates->set_size(0);
  for (const Digit& digit : kDigits) {
    std::array<uint32_t, 2048> bins{};
    const absl::Span<uint32_t> used = absl::MakeSpan(bins.data(), size_t{1} << digit.bits);
    const uint32_t found = key >> digit.shift >> digit.bits;
    for (const BucketSlice& slice : slices) {
      for (uint32_t i = slice.begin; i < slice.end; ++i) {
        const uint32_t own_key = KeyOf(values[i]) >> digit.shift;
        if (own_key >> digit.bits == found) ++used[own_key & (used.size() - 1)];
      }
    }
    size_t above;
    const uint32_t bin = BinOfRank(used, k - larger, &above);
    larger += above;
    key |= bin << digit.shift;
    if (larger + used[bin] <= candidates->capacity()) {
      bool fits = true;
      for (const BucketSlice& slice : slices) {
        fits = fits && Collect(values.subspan(slice.begin, slice.end - slice.begin), slice.begin, key, candidates);
      }
      if (fits) return key;
      candidates->set_size(0);
    }
  }
  CollectExactly(values, slices, key, k - larger, candidates);
  return key;
}

}  // namespace cddp
