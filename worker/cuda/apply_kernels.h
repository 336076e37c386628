// Adds updates to weights, or returns them to residuals: one thread per entry decodes it and makes one float32
// addition, as common/codec/update_reader.h does.

#ifndef WORKER_CUDA_APPLY_KERNELS_H_
#define WORKER_CUDA_APPLY_KERNELS_H_

#include <cstdint>

#include "worker/cuda/value_coding.h"

namespace cddp::device {

// One checked update and the action for it. Its bytes are in device memory, at any address.
struct UpdateJob {
  enum Form : uint32_t {
    kGaps,    // 8-bit gaps (gap8.h) in blocks of 1024 (index_blocks.h)
    kBitmap,  // one bit per element; `ranks` has the number of ones before each kBitmapChunk elements
    kDense,   // every element has a value
    kFill,    // every element, and no bytes: the target becomes minus zero, which adding a value turns into the value
  };
  enum Action : uint32_t {
    kAdd,
    kClear,  // target[index] = 0
  };

  float* target;       // of the bucket
  uint64_t index_at;   // of the index part, from the beginning of the bytes
  uint64_t values_at;  // of the value part
  uint64_t ranks_at;   // of uint32_t, a multiple of 4
  uint32_t length;     // of the bucket
  uint32_t count;      // entries
  uint32_t index_bytes;
  Form form;
  Action action;
  ValueCoding coding;
};

inline constexpr uint32_t kBitmapChunk = 32 * kThreads;  // elements of a bitmap for one block

// The blocks that a job needs.
CDDP_HD inline uint32_t JobBlocks(const UpdateJob& job) {
  if (job.form == UpdateJob::kBitmap) return Blocks(job.length, kBitmapChunk);
  return Blocks(job.form == UpdateJob::kGaps ? job.count : job.length, kIndexBlock);
}

CDDP_HD inline uint32_t LoadU16(const uint8_t* from) { return from[0] | uint32_t{from[1]} << 8; }
CDDP_HD inline uint32_t LoadU32(const uint8_t* from) { return LoadU16(from) | LoadU16(from + 2) << 16; }

// Value i of a part of `count`.
CDDP_HD inline float ValueAt(const ValueCoding& coding, const uint8_t* part, uint32_t count, uint32_t i) {
  if (coding.code_bits == 0) {
    if (coding.encoding == kFp32Code) return FloatOf(LoadU32(part + uint64_t{i} * 4));
    const uint32_t code = LoadU16(part + uint64_t{i} * 2);
    return coding.encoding == kFp16Code ? DecodeHalf(code) : DecodeBf16(code);
  }
  const uint32_t bits = coding.code_bits;
  const uint8_t* const codes = part + uint64_t{Blocks(count, kThreads)} * 4;
  const uint64_t bit = uint64_t{i} * bits;
  const uint32_t code = codes[bit / 8] >> bit % 8 & ((1u << bits) - 1);
  return Dequantise(code, BandOf(bits, LoadU32(part + uint64_t{i / kThreads} * 4)), bits);
}

// One slot per job; the jobs of a launch have different targets.
struct ApplyKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  const UpdateJob* jobs;
  const uint8_t* bytes;

  struct Shared {
    uint64_t sums[kThreads];
    uint64_t scratch[kThreads];
    uint64_t total;
    uint32_t counts[kThreads];
    uint32_t count_scratch[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const UpdateJob job = jobs[block.slot()];
    if (block.index() >= JobBlocks(job)) return;
    if (job.form == UpdateJob::kGaps) {
      WalkGaps(block, shared, job);
    } else if (job.form == UpdateJob::kBitmap) {
      WalkBitmap(block, shared, job);
    } else {
      WalkAll(block, job);
    }
  }

 private:
  CDDP_HD void Do(const UpdateJob& job, uint32_t index, uint32_t entry) const {
    if (job.action == UpdateJob::kClear) {
      job.target[index] = 0;
    } else {
      job.target[index] += ValueAt(job.coding, bytes + job.values_at, job.count, entry);
    }
  }

  static constexpr uint32_t kEach = 8;
  static constexpr uint32_t kNoIndex = 0xffffffffu;

  // The same for kEach entries, some of which may have kNoIndex. An update names no index twice, so that all loads can
  // be under way before the first store, which would keep them in order.
  CDDP_HD void DoAll(const UpdateJob& job, const uint32_t* indices, const uint32_t* entries) const {
    float results[kEach];
    CDDP_UNROLL
    for (uint32_t b = 0; b < kEach; ++b) {
      results[b] = 0;
      if (indices[b] == kNoIndex || job.action == UpdateJob::kClear) continue;
      results[b] = job.target[indices[b]] + ValueAt(job.coding, bytes + job.values_at, job.count, entries[b]);
    }
    CDDP_UNROLL
    for (uint32_t b = 0; b < kEach; ++b) {
      if (indices[b] != kNoIndex) job.target[indices[b]] = results[b];
    }
  }

  template <typename Block>
  CDDP_HD void WalkAll(const Block& block, const UpdateJob& job) const {
    block.Run([&](uint32_t t) {
      const uint32_t begin = block.index() * kIndexBlock;
      for (uint32_t i = begin + t; i < Min(job.length, begin + kIndexBlock); i += kThreads) {
        if (job.form == UpdateJob::kFill) {
          job.target[i] = -0.0f;
        } else {
          Do(job, i, i);
        }
      }
    });
  }

  // One word of the bitmap per thread.
  template <typename Block>
  CDDP_HD void WalkBitmap(const Block& block, Shared& shared, const UpdateJob& job) const {
    const uint8_t* const bitmap = bytes + job.index_at;
    const auto word_of = [&](uint32_t t) {
      uint32_t word = 0;
      const uint32_t first = (block.index() * kThreads + t) * 4;
      for (uint32_t b = 0; b < 4 && first + b < job.index_bytes; ++b) word |= uint32_t{bitmap[first + b]} << 8 * b;
      return word;
    };
    block.Run([&](uint32_t t) { shared.counts[t] = PopulationCount(word_of(t)); });
    block.Scan(shared.counts, shared.count_scratch);
    const uint32_t before = reinterpret_cast<const uint32_t*>(bytes + job.ranks_at)[block.index()];
    block.Run([&](uint32_t t) {
      uint32_t entry = before + shared.counts[t];
      for (uint32_t bits = word_of(t); bits != 0; bits &= bits - 1, ++entry) {
        Do(job, (block.index() * kThreads + t) * 32 + LowestBit(bits), entry);
      }
    });
  }

  // Eight bytes of the gaps per thread, repeatedly: a term's lower half sums their contribution to the index, its upper
  // half the entries that they end.
  template <typename Block>
  CDDP_HD void WalkGaps(const Block& block, Shared& shared, const UpdateJob& job) const {
    const uint8_t* const part = bytes + job.index_at;
    const uint32_t number = block.index(), blocks = Blocks(job.count, kIndexBlock);
    const uint8_t* const entry = part + uint64_t{number} * kEntryBytes;  // of the next block
    const uint8_t* const gaps = part + uint64_t{blocks - 1} * kEntryBytes;
    const uint32_t begin = number == 0 ? 0 : LoadU32(entry - 4);
    const uint32_t end = number + 1 == blocks ? job.index_bytes - (blocks - 1) * kEntryBytes : LoadU32(entry + 4);
    uint64_t done = number == 0 ? 0 : LoadU32(entry - 8);
    for (uint32_t first = begin; first < end; first += kThreads * kEach) {
      const auto term_of = [&](uint32_t i) {
        return i >= end ? 0 : gaps[i] == 255 ? uint64_t{255} : (uint64_t{1} << 32) + gaps[i] + 1;
      };
      block.Run([&](uint32_t t) {
        uint64_t sum = 0;
        for (uint32_t b = 0; b < kEach; ++b) sum += term_of(first + t * kEach + b);
        shared.sums[t] = sum;
      });
      block.Scan(shared.sums, shared.scratch);
      block.Run([&](uint32_t t) {
        uint64_t sum = done + shared.sums[t];
        uint32_t indices[kEach], entries[kEach], count = 0;
        for (uint32_t b = 0; b < kEach; ++b) {
          const uint64_t before = sum, term = term_of(first + t * kEach + b);
          sum += term;
          const bool ends = term >> 32 != 0;
          indices[b] = ends ? static_cast<uint32_t>(sum) - 1 : kNoIndex;
          entries[b] = number * kIndexBlock + static_cast<uint32_t>(before >> 32);
          count += ends ? 1 : 0;
        }
        if (count > 0) DoAll(job, indices, entries);
        if (t == kThreads - 1) shared.total = sum;
      });
      done = shared.total;
    }
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_APPLY_KERNELS_H_
