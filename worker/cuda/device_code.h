// Code that runs as a thread of a GPU and, in tests, as a loop on the host.
//
// A kernel is a struct with its arguments as members, its `Shared` memory, and a call operator that is given a block of
// kThreads threads. It does its work in phases, block.Run(f): every thread t runs f(t), and all have finished before
// the next phase begins. What must outlive a phase lies in Shared. So the host can run the very same code, and in any
// order of threads and blocks: a result that depended on an order would be a race on the device.

#ifndef WORKER_CUDA_DEVICE_CODE_H_
#define WORKER_CUDA_DEVICE_CODE_H_

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define CDDP_HD __host__ __device__
#else
#define CDDP_HD
#endif

namespace cddp::device {

inline constexpr uint32_t kThreads = 256;  // of every block

#ifdef __CUDACC__
// The block a thread of the GPU belongs to.
struct CudaBlock {
  __device__ uint32_t index() const { return blockIdx.x; }
  __device__ uint32_t count() const { return gridDim.x; }
  template <typename Phase>
  __device__ void Run(const Phase& phase) const {
    phase(threadIdx.x);
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

// The sum of terms[kThreads] of a block's threads, in terms[0] afterwards; by halving, so it is always the same.
template <typename Block, typename T>
CDDP_HD void SumOverThreads(const Block& block, T* terms) {
  for (uint32_t half = kThreads / 2; half > 0; half /= 2) {
    block.Run([=](uint32_t t) {
      if (t < half) terms[t] += terms[t + half];
    });
  }
}

// For each thread the sum of all threads' terms before its own. Two buffers take turns; the result is in the first.
template <typename T>
struct ThreadScan {
  T terms[kThreads];
  T other[kThreads];

  template <typename Block>
  CDDP_HD void Exclusive(const Block& block) {
    T* from = terms;
    T* to = other;
    for (uint32_t distance = 1; distance < kThreads; distance *= 2) {
      block.Run([=](uint32_t t) { to[t] = t < distance ? from[t] : from[t] + from[t - distance]; });
      T* const swap = from;
      from = to;
      to = swap;
    }
    // Eight rounds: the inclusive sums are back in `terms`.
    block.Run([this](uint32_t t) { other[t] = t == 0 ? T{} : terms[t - 1]; });
    block.Run([this](uint32_t t) { terms[t] = other[t]; });
  }
};

// terms[0] = counts[0] + ... + counts[size - 1].
template <typename Block, typename T>
CDDP_HD void SumOf(const Block& block, const T* counts, uint32_t size, T* terms) {
  block.Run([=](uint32_t t) {
    T sum{};
    for (uint32_t i = t; i < size; i += kThreads) sum += counts[i];
    terms[t] = sum;
  });
  SumOverThreads(block, terms);
}

}  // namespace cddp::device

#endif  // WORKER_CUDA_DEVICE_CODE_H_
