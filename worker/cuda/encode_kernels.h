// The bytes of an update (common/codec: update_header.h, index_blocks.h, gap8.h, block_scaled.h), and the rounding
// error left in the residual. A block per 1024 selected elements.

#ifndef WORKER_CUDA_ENCODE_KERNELS_H_
#define WORKER_CUDA_ENCODE_KERNELS_H_

#include <cstdint>

#include "worker/cuda/value_coding.h"

namespace cddp::device {

inline constexpr uint32_t kHeaderBytes = 20;
inline constexpr uint32_t kIndexBlockSize = 1024;
inline constexpr uint32_t kEntryBytes = 8;
inline constexpr uint32_t kGapEscape = 255;
inline constexpr uint32_t kGap8Code = 1;  // IndexEncoding::kGap8

template <typename T>
CDDP_HD inline void StoreBytes(T value, uint8_t* to) {
  for (uint32_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<uint8_t>(value >> 8 * i);
}

// The selected elements.
struct Selected {
  const uint32_t* indices;
  const float* values;

  CDDP_HD uint32_t GapAt(uint32_t i) const { return i == 0 ? indices[0] : indices[i] - indices[i - 1] - 1; }
};

// Counts the escapes of each block's gaps.
struct SizeKernel {
  Selected selected;
  uint32_t* block_escapes;
  StepState* state;

  struct Shared {
    uint32_t escapes[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const uint32_t begin = block.index() * kIndexBlockSize;
    const uint32_t end = Min(state->selected, begin + kIndexBlockSize);
    if (begin >= end) return;
    block.Run([=, &shared, *this](uint32_t t) {
      uint32_t escapes = 0;
      for (uint32_t i = begin + t; i < end; i += kThreads) escapes += selected.GapAt(i) / kGapEscape;
      shared.escapes[t] = escapes;
    });
    SumOverThreads(block, shared.escapes);
    block.Run([&shared, index = block.index(), *this](uint32_t t) {
      if (t != 0) return;
      block_escapes[index] = shared.escapes[0];
      AtomicAdd(&state->escapes, shared.escapes[0]);
    });
  }
};

// Writes header, entry points, gaps and values to `bytes`, and the rounding errors to the residual.
struct EncodeKernel {
  Selected selected;
  uint32_t length;
  uint32_t value_encoding;  // ValueEncoding
  uint32_t code_bits;       // of the block-scaled encodings; 0: the others
  uint32_t value_bytes;     // of one value of the others
  const uint32_t* block_escapes;
  float* residual;
  uint8_t* bytes;
  StepState* state;

  struct Shared {
    uint32_t before[kThreads];  // [0]: escapes of the blocks before
    ThreadScan<uint32_t> scan;
    float terms[kThreads];
    float other_terms[kThreads];
    uint32_t counts[kThreads];
    double sent_sq[kThreads];
    float mean;
    uint32_t scale;
    uint8_t codes[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const uint32_t count = state->selected;
    const uint32_t begin = block.index() * kIndexBlockSize;
    if (begin >= count) return;
    const uint32_t index_blocks = Blocks(count, kIndexBlockSize);
    const uint32_t index_bytes = (index_blocks - 1) * kEntryBytes + count + state->escapes;
    SumOf(block, block_escapes, block.index(), shared.before);
    WriteGaps(block, shared, begin, Min(count, begin + kIndexBlockSize), (index_blocks - 1) * kEntryBytes);
    uint8_t* const values_to = bytes + kHeaderBytes + index_bytes;
    block.Run([&shared](uint32_t t) { shared.sent_sq[t] = 0; });
    for (uint32_t first = begin; first < Min(count, begin + kIndexBlockSize); first += kThreads) {
      if (code_bits == 0) {
        WriteValues(block, shared, first, count, values_to);
      } else {
        WriteScaledBlock(block, shared, first, count, values_to);
      }
    }
    SumOverThreads(block, shared.sent_sq);
    block.Run([=, &shared, *this](uint32_t t) {
      if (t != 0) return;
      AtomicAdd(&state->sent_sq, shared.sent_sq[0]);
      if (begin == 0) WriteHeader(count, index_bytes);
    });
  }

 private:
  CDDP_HD void WriteHeader(uint32_t count, uint32_t index_bytes) const {
    bytes[0] = 1;
    bytes[1] = kGap8Code;
    bytes[2] = static_cast<uint8_t>(value_encoding);
    bytes[3] = 0;
    StoreBytes(length, bytes + 4);
    StoreBytes(count, bytes + 8);
    StoreBytes(index_bytes, bytes + 12);
    StoreBytes(PartBytes(count), bytes + 16);
  }

  CDDP_HD uint32_t PartBytes(uint32_t count) const {
    if (code_bits == 0) return count * value_bytes;
    return Blocks(count, kThreads) * 4 + (count / 8 * code_bits + Blocks(count % 8 * code_bits, 8));
  }

  // Thread t writes the gaps of four neighbours.
  template <typename Block>
  CDDP_HD void WriteGaps(const Block& block, Shared& shared, uint32_t begin, uint32_t end,
                         uint32_t entries_bytes) const {
    constexpr uint32_t kEach = kIndexBlockSize / kThreads;
    block.Run([=, &shared, *this](uint32_t t) {
      uint32_t size = 0;
      for (uint32_t i = begin + t * kEach; i < Min(end, begin + (t + 1) * kEach); ++i) {
        size += 1 + selected.GapAt(i) / kGapEscape;
      }
      shared.scan.terms[t] = size;
    });
    shared.scan.Exclusive(block);
    block.Run([=, &shared, *this](uint32_t t) {
      uint8_t* const part = bytes + kHeaderBytes;
      const uint32_t offset = begin + shared.before[0];
      if (t == 0 && begin > 0) {
        uint8_t* const entry = part + size_t{begin / kIndexBlockSize - 1} * kEntryBytes;
        StoreBytes(selected.indices[begin - 1] + 1, entry);
        StoreBytes(offset, entry + 4);
      }
      uint8_t* to = part + entries_bytes + offset + shared.scan.terms[t];
      for (uint32_t i = begin + t * kEach; i < Min(end, begin + (t + 1) * kEach); ++i) {
        uint32_t gap = selected.GapAt(i);
        for (; gap >= kGapEscape; gap -= kGapEscape) *to++ = static_cast<uint8_t>(kGapEscape);
        *to++ = static_cast<uint8_t>(gap);
      }
    });
  }

  // What became of element i, sent as `decoded`.
  CDDP_HD void Sent(uint32_t i, float decoded, double* sent_sq) const {
    const float value = selected.values[i];
    const float error = value - decoded;
    residual[selected.indices[i]] = error;
    *sent_sq += static_cast<double>(value) * value - static_cast<double>(error) * error;
  }

  // kThreads values from `first` on, each by itself.
  template <typename Block>
  CDDP_HD void WriteValues(const Block& block, Shared& shared, uint32_t first, uint32_t count, uint8_t* to) const {
    block.Run([=, &shared, *this](uint32_t t) {
      const uint32_t i = first + t;
      if (i >= count) return;
      const float value = selected.values[i];
      if (value_bytes == 4) {
        StoreBytes(BitsOf(value), to + 4 * uint64_t{i});
        return Sent(i, value, &shared.sent_sq[t]);
      }
      const bool half = value_encoding == 1;  // ValueEncoding::kFp16
      const uint32_t code = half ? EncodeHalf(value) : EncodeBf16(value);
      StoreBytes(static_cast<uint16_t>(code), to + 2 * uint64_t{i});
      Sent(i, half ? DecodeHalf(code) : DecodeBf16(code), &shared.sent_sq[t]);
    });
  }

  // A block of kThreads values from `first` on with their scale.
  template <typename Block>
  CDDP_HD void WriteScaledBlock(const Block& block, Shared& shared, uint32_t first, uint32_t count, uint8_t* to) const {
    const uint32_t size = Min(kThreads, count - first);
    if (code_bits == 1) {
      FindMean(block, shared, first, size);
      block.Run([&shared](uint32_t t) {
        if (t == 0) shared.scale = BitsOf(shared.mean);
      });
    } else if (code_bits == 2) {
      FindTwoMeans(block, shared, first, size);
    } else {
      FindRange(block, shared, first, size);
    }
    block.Run([=, &shared, *this](uint32_t t) {
      shared.codes[t] = 0;
      if (t == 0) StoreBytes(shared.scale, to + size_t{first / kThreads} * 4);
      if (t >= size) return;
      const Band band = BandOf(code_bits, shared.scale);
      const uint32_t code = Quantise(selected.values[first + t], band, code_bits);
      shared.codes[t] = static_cast<uint8_t>(code);
      Sent(first + t, Dequantise(code, band, code_bits), &shared.sent_sq[t]);
    });
    uint8_t* const packed = to + size_t{Blocks(count, kThreads)} * 4 + uint64_t{first} / 8 * code_bits;
    block.Run([=, &shared, *this](uint32_t t) {
      const uint32_t each = 8 / code_bits;
      if (t * each >= size) return;
      uint32_t byte = 0;
      for (uint32_t j = 0; j < each; ++j) byte |= uint32_t{shared.codes[t * each + j]} << j * code_bits;
      packed[t] = static_cast<uint8_t>(byte);
    });
  }

  CDDP_HD float MagnitudeAt(uint32_t i) const { return FloatOf(BitsOf(selected.values[i]) & kMagnitudeBits); }

  // shared.mean = mean magnitude.
  template <typename Block>
  CDDP_HD void FindMean(const Block& block, Shared& shared, uint32_t first, uint32_t size) const {
    block.Run([=, &shared, *this](uint32_t t) { shared.terms[t] = t < size ? MagnitudeAt(first + t) : 0; });
    SumOverThreads(block, shared.terms);
    block.Run([=, &shared](uint32_t t) {
      if (t == 0) shared.mean = MeanOf(shared.terms[0], size);
    });
  }

  // shared.scale = means of the magnitudes below the mean, and of the others.
  template <typename Block>
  CDDP_HD void FindTwoMeans(const Block& block, Shared& shared, uint32_t first, uint32_t size) const {
    FindMean(block, shared, first, size);
    block.Run([=, &shared, *this](uint32_t t) {
      const float magnitude = t < size ? MagnitudeAt(first + t) : 0;
      const bool above = t < size && magnitude >= shared.mean;
      shared.terms[t] = above ? 0 : magnitude;
      shared.other_terms[t] = above ? magnitude : 0;
      shared.counts[t] = above ? 1 : 0;
    });
    SumOverThreads(block, shared.terms);
    SumOverThreads(block, shared.other_terms);
    SumOverThreads(block, shared.counts);
    block.Run([=, &shared](uint32_t t) {
      if (t != 0) return;
      const uint32_t above = shared.counts[0];
      shared.scale = BandScale(EncodeBf16(MeanOf(shared.terms[0], size - above)),
                               EncodeBf16(MeanOf(shared.other_terms[0], above)));
    });
  }

  // shared.scale = the least magnitude, rounded down, and the greatest.
  template <typename Block>
  CDDP_HD void FindRange(const Block& block, Shared& shared, uint32_t first, uint32_t size) const {
    block.Run([&shared](uint32_t t) {
      if (t < 2) shared.counts[t] = 0;
    });
    block.Run([=, &shared, *this](uint32_t t) {
      if (t >= size) return;
      const uint32_t magnitude = BitsOf(MagnitudeAt(first + t));
      AtomicMax(&shared.counts[0], kMagnitudeBits - magnitude);
      AtomicMax(&shared.counts[1], magnitude);
    });
    block.Run([&shared](uint32_t t) {
      if (t != 0) return;
      shared.scale = BandScale((kMagnitudeBits - shared.counts[0]) >> 16, EncodeBf16(FloatOf(shared.counts[1])));
    });
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_ENCODE_KERNELS_H_
