// The bytes of updates (common/codec: update_header.h, index_blocks.h, gap8.h, block_scaled.h), the rounding error in
// the residual, and the delivery of the bytes to the host. A block for each part of 256 selected elements.

#ifndef WORKER_CUDA_ENCODE_KERNELS_H_
#define WORKER_CUDA_ENCODE_KERNELS_H_

#include <cstdint>

#include "worker/cuda/value_coding.h"

namespace cddp::device {

inline constexpr uint32_t kPart = 256;  // selected elements: a block of scaled values (block_scaled.h)
inline constexpr uint32_t kGapEscape = 255;
inline constexpr uint32_t kGap8Code = 1;  // IndexEncoding::kGap8

template <typename T>
CDDP_HD inline void StoreBytes(T value, uint8_t* to) {
  for (uint32_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<uint8_t>(value >> 8 * i);
}

// The selected elements of a slot.
struct Selected {
  const uint32_t* indices;
  const float* values;
  uint32_t count;

  CDDP_HD Selected(const Slot& slot, const Arrays& arrays)
      : indices(arrays.selected_indices + slot.plan.selected_at),
        values(arrays.selected_values + slot.plan.selected_at),
        count(slot.state->selected) {}

  CDDP_HD uint32_t GapAt(uint32_t i) const { return i == 0 ? indices[0] : indices[i] - indices[i - 1] - 1; }
};

// Counts the escapes of each part's gaps.
struct SizeKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;

  struct Shared {
    uint32_t escapes[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const Selected selected(slot, arrays);
    const uint32_t begin = block.index() * kPart;
    if (begin >= selected.count) return;
    block.Run([&](uint32_t t) {
      shared.escapes[t] = begin + t < selected.count ? selected.GapAt(begin + t) / kGapEscape : 0;
    });
    block.Sum(shared.escapes);
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      arrays.part_escapes[slot.plan.escapes_at + block.index()] = shared.escapes[0];
      AtomicAdd(&slot.state->escapes, shared.escapes[0]);
    });
  }
};

// terms[0] = where the update of `slot` begins in Arrays::bytes.
template <typename Block>
CDDP_HD void FindPlace(const Block& block, const StepState* states, const ValueCoding& coding, uint32_t slot,
                       uint32_t* terms) {
  block.Run([&](uint32_t t) { terms[t] = t < slot ? PaddedBytes(UpdateBytes(states[t], coding)) : 0; });
  block.Sum(terms);
}
static_assert(kMostSlots <= kThreads && kPart == kThreads && kIndexBlock % kPart == 0);

// Writes header, entry points, gaps and values, and the rounding errors to the residual. One block per part, one
// thread per element.
struct EncodeKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;
  ValueCoding coding;

  struct Shared {
    uint32_t place[kThreads];   // [0]: of the update
    uint32_t before[kThreads];  // [0]: escapes of the parts before
    uint32_t counts[kThreads];
    uint32_t scratch[kThreads];
    float values[kThreads];  // original values of the part; 0 after its end
    float terms[kThreads];
    float other_terms[kThreads];
    double sent_sq[kThreads];
    float mean;
    uint32_t scale;
    uint8_t codes[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const uint32_t begin = block.index() * kPart;
    if (begin >= slot.state->selected) return;
    FindPlace(block, arrays.states, coding, block.slot(), shared.place);
    const Part part(*this, slot, shared.place[0], begin);
    SumOf(block, arrays.part_escapes + slot.plan.escapes_at, block.index(), shared.before);
    WriteGaps(block, shared, part);
    if (coding.code_bits == 0) {
      WriteValues(block, shared, part);
    } else {
      WriteScaledBlock(block, shared, part);
    }
    block.Sum(shared.sent_sq);
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      AtomicAdd(&slot.state->sent_sq, shared.sent_sq[0]);
      if (begin == 0) WriteHeader(part);
    });
  }

 private:
  // The part that a block writes.
  struct Part {
    Selected selected;
    uint32_t begin;  // its elements among those selected
    uint32_t size;
    uint32_t length;  // of the bucket
    uint32_t entries_bytes;
    uint32_t index_bytes;
    float* residual;
    uint8_t* bytes;   // the update's header
    uint8_t* values;  // its value part

    CDDP_HD Part(const EncodeKernel& kernel, const Slot& slot, uint32_t place, uint32_t begin_at)
        : selected(slot, kernel.arrays),
          begin(begin_at),
          size(Min(kPart, selected.count - begin_at)),
          length(slot.plan.length),
          entries_bytes((Blocks(selected.count, kIndexBlock) - 1) * kEntryBytes),
          index_bytes(IndexBytes(selected.count, slot.state->escapes)),
          residual(slot.NewResidual(kernel.arrays)),
          bytes(kernel.arrays.bytes + place),
          values(bytes + kHeaderBytes + index_bytes) {}

    // Sets the residual of an element sent as `decoded`; returns the decrease of the residual's sum of squares.
    CDDP_HD double Sent(uint32_t t, float value, float decoded) const {
      const float error = value - decoded;
      residual[selected.indices[begin + t]] = error;
      return static_cast<double>(value) * value - static_cast<double>(error) * error;
    }
  };

  CDDP_HD void WriteHeader(const Part& part) const {
    uint8_t* const bytes = part.bytes;
    bytes[0] = 1;
    bytes[1] = kGap8Code;
    bytes[2] = static_cast<uint8_t>(coding.encoding);
    bytes[3] = 0;
    StoreBytes(part.length, bytes + 4);
    StoreBytes(part.selected.count, bytes + 8);
    StoreBytes(part.index_bytes, bytes + 12);
    StoreBytes(coding.Bytes(part.selected.count), bytes + 16);
  }

  // The first part of an index block writes the block's entry point.
  template <typename Block>
  CDDP_HD void WriteGaps(const Block& block, Shared& shared, const Part& part) const {
    const Selected& selected = part.selected;
    block.Run([&](uint32_t t) {
      const bool is_there = t < part.size;
      shared.counts[t] = is_there ? 1 + selected.GapAt(part.begin + t) / kGapEscape : 0;
      shared.values[t] = is_there ? selected.values[part.begin + t] : 0;
      shared.sent_sq[t] = 0;
    });
    block.Scan(shared.counts, shared.scratch);
    block.Run([&](uint32_t t) {
      uint8_t* const index_part = part.bytes + kHeaderBytes;
      const uint32_t offset = part.begin + shared.before[0];
      if (t == 0 && part.begin > 0 && part.begin % kIndexBlock == 0) {
        uint8_t* const entry = index_part + size_t{part.begin / kIndexBlock - 1} * kEntryBytes;
        StoreBytes(selected.indices[part.begin - 1] + 1, entry);
        StoreBytes(offset, entry + 4);
      }
      if (t >= part.size) return;
      uint8_t* to = index_part + part.entries_bytes + offset + shared.counts[t];
      uint32_t gap = selected.GapAt(part.begin + t);
      for (; gap >= kGapEscape; gap -= kGapEscape) *to++ = static_cast<uint8_t>(kGapEscape);
      *to = static_cast<uint8_t>(gap);
    });
  }

  // Encodes each value by itself.
  template <typename Block>
  CDDP_HD void WriteValues(const Block& block, Shared& shared, const Part& part) const {
    block.Run([&](uint32_t t) {
      if (t >= part.size) return;
      const float value = shared.values[t];
      const uint64_t i = part.begin + t;
      if (coding.value_bytes == 4) {
        StoreBytes(BitsOf(value), part.values + 4 * i);
        shared.sent_sq[t] = part.Sent(t, value, value);
        return;
      }
      const bool half = coding.encoding == kFp16Code;
      const uint32_t code = half ? EncodeHalf(value) : EncodeBf16(value);
      StoreBytes(static_cast<uint16_t>(code), part.values + 2 * i);
      shared.sent_sq[t] = part.Sent(t, value, half ? DecodeHalf(code) : DecodeBf16(code));
    });
  }

  // Encodes the values with their scale.
  template <typename Block>
  CDDP_HD void WriteScaledBlock(const Block& block, Shared& shared, const Part& part) const {
    const uint32_t bits = coding.code_bits;
    if (bits == 1) {
      FindMean(block, shared, part.size);
      block.Run([&](uint32_t t) {
        if (t == 0) shared.scale = BitsOf(shared.mean);
      });
    } else if (bits == 2) {
      FindTwoMeans(block, shared, part.size);
    } else {
      FindRange(block, shared, part.size);
    }
    block.Run([&](uint32_t t) {
      shared.codes[t] = 0;
      if (t == 0) StoreBytes(shared.scale, part.values + size_t{part.begin / kPart} * 4);
      if (t >= part.size) return;
      const Band band = BandOf(bits, shared.scale);
      const uint32_t code = Quantise(shared.values[t], band, bits);
      shared.codes[t] = static_cast<uint8_t>(code);
      shared.sent_sq[t] = part.Sent(t, shared.values[t], Dequantise(code, band, bits));
    });
    uint8_t* const packed =
        part.values + size_t{Blocks(part.selected.count, kPart)} * 4 + uint64_t{part.begin} / 8 * bits;
    block.Run([&](uint32_t t) {
      const uint32_t each = 8 / bits;
      if (t * each >= part.size) return;
      uint32_t byte = 0;
      for (uint32_t j = 0; j < each; ++j) byte |= uint32_t{shared.codes[t * each + j]} << j * bits;
      packed[t] = static_cast<uint8_t>(byte);
    });
  }

  // The magnitude of value t; 0 after the part's end.
  CDDP_HD static float MagnitudeAt(const Shared& shared, uint32_t t) {
    return FloatOf(BitsOf(shared.values[t]) & kMagnitudeBits);
  }

  // shared.mean = mean magnitude.
  template <typename Block>
  CDDP_HD void FindMean(const Block& block, Shared& shared, uint32_t size) const {
    block.Run([&](uint32_t t) { shared.terms[t] = MagnitudeAt(shared, t); });
    SumByHalving(block, shared.terms);
    block.Run([&](uint32_t t) {
      if (t == 0) shared.mean = MeanOf(shared.terms[0], size);
    });
  }

  // shared.scale = means of the magnitudes below the mean, and of the others.
  template <typename Block>
  CDDP_HD void FindTwoMeans(const Block& block, Shared& shared, uint32_t size) const {
    FindMean(block, shared, size);
    block.Run([&](uint32_t t) {
      const float magnitude = MagnitudeAt(shared, t);
      const bool above = t < size && magnitude >= shared.mean;
      shared.terms[t] = above ? 0 : magnitude;
      shared.other_terms[t] = above ? magnitude : 0;
      shared.counts[t] = above ? 1 : 0;
    });
    SumByHalving(block, shared.terms);
    SumByHalving(block, shared.other_terms);
    block.Sum(shared.counts);
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      const uint32_t above = shared.counts[0];
      shared.scale = BandScale(EncodeBf16(MeanOf(shared.terms[0], size - above)),
                               EncodeBf16(MeanOf(shared.other_terms[0], above)));
    });
  }

  // shared.scale = the least magnitude, rounded down, and the greatest.
  template <typename Block>
  CDDP_HD void FindRange(const Block& block, Shared& shared, uint32_t size) const {
    block.Run([&](uint32_t t) {
      const uint32_t magnitude = BitsOf(MagnitudeAt(shared, t));
      shared.counts[t] = t < size ? kMagnitudeBits - magnitude : 0;
      shared.scratch[t] = magnitude;
    });
    block.Max(shared.counts);
    block.Max(shared.scratch);
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      shared.scale = BandScale((kMagnitudeBits - shared.counts[0]) >> 16, EncodeBf16(FloatOf(shared.scratch[0])));
    });
  }
};

// Writes the states and all encoded bytes, and nothing more, to pinned memory of the host. Any number of blocks, slot
// 0.
struct DeliverKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;
  ValueCoding coding;
  StepState* host_states;
  uint8_t* host_bytes;

  struct Shared {
    uint32_t size[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    FindPlace(block, arrays.states, coding, batch.count, shared.size);
    block.Run([&](uint32_t t) {
      if (block.index() == 0 && t < batch.count) host_states[t] = arrays.states[t];
      const uint32_t words = shared.size[0] / sizeof(Word);
      const auto* const from = reinterpret_cast<const Word*>(arrays.bytes);
      auto* const to = reinterpret_cast<Word*>(host_bytes);
      for (uint32_t i = block.index() * kThreads + t; i < words; i += block.count() * kThreads) to[i] = from[i];
    });
  }

 private:
  struct alignas(16) Word {
    uint32_t at[4];
  };
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_ENCODE_KERNELS_H_
