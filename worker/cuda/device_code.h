// Code that runs as a thread of a GPU and, in tests, as a loop on the host.
//
// A kernel is a struct with its arguments as members, its `Shared` memory, the number of its threads kBlockThreads, and
// a call operator with a block as its argument. It works in phases, block.Run(f): every thread t runs f(t), and all
// threads finish a phase before the next begins. Data that must outlive a phase is in Shared. So the host can run the
// same code with threads and blocks in any order: a result that depends on the order would be a race on the device.
//
// A grid has two dimensions: block.slot() is the bucket of a batch (or the update) of a block, and block.index()
// its part of that. A kernel is launched with the number of blocks that the largest bucket needs; surplus blocks of
// others return at once.

#ifndef WORKER_CUDA_DEVICE_CODE_H_
#define WORKER_CUDA_DEVICE_CODE_H_

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define CDDP_HD __host__ __device__
#else
#define CDDP_HD
#endif
#ifdef __CUDA_ARCH__
#define CDDP_UNROLL _Pragma("unroll")
#else
#define CDDP_UNROLL
#endif

namespace cddp::device {

inline constexpr uint32_t kThreads = 256;  // of most blocks

#ifdef __CUDACC__
// The block a thread of the GPU belongs to. Sum, Max and Scan take an array in shared memory with one term per
// thread, and end with a barrier; their order of operations is not defined.
template <uint32_t Threads>
struct CudaBlock {
  static constexpr uint32_t kWarps = Threads / 32;

  __device__ uint32_t index() const { return blockIdx.x; }
  __device__ uint32_t count() const { return gridDim.x; }
  __device__ uint32_t slot() const { return blockIdx.y; }

  template <typename Phase>
  __device__ void Run(const Phase& phase) const {
    phase(threadIdx.x);
    __syncthreads();
  }

  // The sum of all terms, in terms[0].
  template <typename T>
  __device__ void Sum(T* terms) const {
    Reduce(terms, [](T a, T b) { return a + b; });
  }
  template <typename T>
  __device__ void Max(T* terms) const {
    Reduce(terms, [](T a, T b) { return a < b ? b : a; });
  }

  // terms[t] = the sum of terms[0] ... terms[t - 1]; scratch has as many elements.
  template <typename T>
  __device__ void Scan(T* terms, T* scratch) const {
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const T own = terms[threadIdx.x];
    const T through = ScanWarp(own, lane);
    if (lane == 31) scratch[warp] = through;
    __syncthreads();
    if (warp == 0) {
      const T sum = ScanWarp(lane < kWarps ? scratch[lane] : T{}, lane);
      if (lane < kWarps) scratch[lane] = sum;
    }
    __syncthreads();
    terms[threadIdx.x] = through - own + (warp == 0 ? T{} : scratch[warp - 1]);
    __syncthreads();
  }

 private:
  template <typename T>
  __device__ static T ScanWarp(T term, uint32_t lane) {
    for (uint32_t distance = 1; distance < 32; distance *= 2) {
      const T before = __shfl_up_sync(0xffffffffu, term, distance);
      if (lane >= distance) term += before;
    }
    return term;
  }

  template <typename T, typename Combine>
  __device__ static void Reduce(T* terms, const Combine& combine) {
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    T term = terms[threadIdx.x];
    for (uint32_t half = 16; half > 0; half /= 2) term = combine(term, __shfl_down_sync(0xffffffffu, term, half));
    __syncthreads();  // all have read their terms
    if (lane == 0) terms[warp] = term;
    __syncthreads();
    if (warp == 0) {
      term = lane < kWarps ? terms[lane] : T{};
      for (uint32_t half = 16; half > 0; half /= 2) term = combine(term, __shfl_down_sync(0xffffffffu, term, half));
      if (lane == 0) terms[0] = term;
    }
    __syncthreads();
  }
};
#endif

CDDP_HD inline uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

CDDP_HD inline float FloatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

template <typename T>
CDDP_HD inline T Min(T a, T b) {
  return b < a ? b : a;
}

template <typename T>
CDDP_HD inline T Max(T a, T b) {
  return a < b ? b : a;
}

CDDP_HD inline uint32_t Blocks(uint32_t size, uint32_t block) { return size / block + (size % block == 0 ? 0 : 1); }

CDDP_HD inline uint32_t PopulationCount(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return static_cast<uint32_t>(__popc(static_cast<int>(bits)));
#else
  return static_cast<uint32_t>(__builtin_popcount(bits));
#endif
}

// Of `bits` != 0.
CDDP_HD inline uint32_t LowestBit(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return static_cast<uint32_t>(__ffs(static_cast<int>(bits)) - 1);
#else
  return static_cast<uint32_t>(__builtin_ctz(bits));
#endif
}

// Atomic on the device; on the host one thread runs all.
template <typename T>
CDDP_HD inline void AtomicAdd(T* to, T value) {
#ifdef __CUDA_ARCH__
  atomicAdd(to, value);
#else
  *to += value;
#endif
}

CDDP_HD inline void AtomicMax(uint32_t* to, uint32_t value) {
#ifdef __CUDA_ARCH__
  atomicMax(to, value);
#else
  *to = Max(*to, value);
#endif
}

CDDP_HD inline void AtomicOr(uint32_t* to, uint32_t bits) {
#ifdef __CUDA_ARCH__
  atomicOr(to, bits);
#else
  *to |= bits;
#endif
}

// terms[0] += terms[1] + ... + terms[kThreads - 1], by halving: the order of the codec's sums (block_scaled.h).
template <typename Block, typename T>
CDDP_HD void SumByHalving(const Block& block, T* terms) {
  for (uint32_t half = kThreads / 2; half > 0; half /= 2) {
    block.Run([&](uint32_t t) {
      if (t < half) terms[t] += terms[t + half];
    });
  }
}

// terms[0] = counts[0] + ... + counts[size - 1].
template <typename Block, typename T>
CDDP_HD void SumOf(const Block& block, const T* counts, uint32_t size, T* terms) {
  block.Run([&](uint32_t t) {
    T sum{};
    for (uint32_t i = t; i < size; i += kThreads) sum += counts[i];
    terms[t] = sum;
  });
  block.Sum(terms);
}

// Finds the bin of the rank-th largest value, counted from 1, in a histogram with `each` bins per thread, and calls
// found(bin, above) on one thread; `above` values are in larger bins. Does nothing if fewer values were counted, or for
// rank 0. Thread t handles the bins that come after t * each larger ones. `counts` and `scratch` have a word per
// thread.
template <typename Block, typename Found>
CDDP_HD void FindBin(const Block& block, const uint32_t* histogram, uint32_t bins, uint32_t each, uint32_t rank,
                     uint32_t* counts, uint32_t* scratch, const Found& found) {
  block.Run([&](uint32_t t) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < each; ++b) count += histogram[bins - 1 - (t * each + b)];
    counts[t] = count;
  });
  block.Scan(counts, scratch);
  block.Run([&](uint32_t t) {
    uint32_t above = counts[t];
    for (uint32_t b = 0; b < each && above < rank; ++b) {
      const uint32_t bin = bins - 1 - (t * each + b);
      if (above + histogram[bin] >= rank) {
        found(bin, above);
        return;
      }
      above += histogram[bin];
    }
  });
}

}  // namespace cddp::device

#endif  // WORKER_CUDA_DEVICE_CODE_H_
