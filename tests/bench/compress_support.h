// What the compression benchmarks share: data, threads, and the limit to compare with.

#ifndef TESTS_BENCH_COMPRESS_SUPPORT_H_
#define TESTS_BENCH_COMPRESS_SUPPORT_H_

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/compress/bucket_compressor.h"

namespace cddp {

inline constexpr size_t kBenchBucket = size_t{1} << 20;
inline constexpr int kBenchThreads = 2;

// Ends the program if something that cannot fail here did.
void Require(const absl::Status& status);

// Seconds. On a machine with nothing else to do, the two are the same.
struct Elapsed {
  double wall = 0;  // until the last thread was done
  double cpu = 0;   // of processor time, mean of the threads
};

// Two threads that wait for work.
class BenchThreads {
 public:
  BenchThreads();
  ~BenchThreads();
  // Calls work() on each.
  Elapsed Run(const std::function<void()>& work);
  // Run() with the buckets of `total` elements shared out as they get free: work(first element, length).
  Elapsed ForEachBucket(size_t total, const std::function<void(size_t begin, size_t length)>& work);

 private:
  std::barrier<> barrier_;
  std::function<void()> work_;
  std::vector<double> cpu_;  // of each thread's last work
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

// Normally distributed gradients, other ones in each step.
class GradientSource {
 public:
  GradientSource();
  void Fill(uint32_t step, absl::Span<float> gradient) const;

 private:
  std::vector<float> pool_;
};

// A vector of many buckets, compressed with error feedback.
class CompressedVector {
 public:
  CompressedVector(size_t total, const CompressorOptions& options);

  // Forgets what is carried from step to step, but for the residual.
  void ForgetThresholds();
  // Compresses one step on two threads.
  Elapsed Compress(absl::Span<const float> gradient, BenchThreads* threads);

  size_t selected() const;       // in the last step
  size_t encoded_bytes() const;  // likewise
  absl::Span<float> residual() { return absl::MakeSpan(residual_); }
  const std::vector<std::string>& updates() const { return updates_; }

 private:
  const CompressorOptions options_;
  std::vector<float> residual_;
  std::vector<std::unique_ptr<BucketCompressor>> compressors_;
  std::vector<std::string> updates_;
  std::vector<size_t> selected_;
};

// The limit: residual += gradient in place, 12 bytes an element, on two threads.
Elapsed InPlacePass(absl::Span<const float> gradient, absl::Span<float> residual, BenchThreads* threads);

}  // namespace cddp

#endif  // TESTS_BENCH_COMPRESS_SUPPORT_H_
