#include "tests/bench/compress_support.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/compress_support.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void AddInPlace(const float* HWY_RESTRICT gradient, float* HWY_RESTRICT residual, size_t length) {
  const hn::ScalableTag<float> df;
  size_t i = 0;
  for (; i + hn::Lanes(df) <= length; i += hn::Lanes(df)) {
    hn::StoreU(hn::Add(hn::LoadU(df, residual + i), hn::LoadU(df, gradient + i)), df, residual + i);
  }
  for (; i < length; ++i) residual[i] += gradient[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(AddInPlace);

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

namespace {

double ThreadCpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

BenchThreads::BenchThreads() : barrier_(kBenchThreads + 1), cpu_(kBenchThreads) {
  for (int thread = 0; thread < kBenchThreads; ++thread) {
    threads_.emplace_back([this, thread] {
      for (;;) {
        barrier_.arrive_and_wait();
        if (stop_) return;
        const double start = ThreadCpuSeconds();
        work_();
        cpu_[static_cast<size_t>(thread)] = ThreadCpuSeconds() - start;
        barrier_.arrive_and_wait();
      }
    });
  }
}

BenchThreads::~BenchThreads() {
  stop_ = true;
  barrier_.arrive_and_wait();
  for (std::thread& thread : threads_) thread.join();
}

Elapsed BenchThreads::Run(const std::function<void()>& work) {
  work_ = work;
  const auto start = std::chrono::steady_clock::now();
  barrier_.arrive_and_wait();
  barrier_.arrive_and_wait();
  Elapsed elapsed;
  elapsed.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  elapsed.cpu = std::accumulate(cpu_.begin(), cpu_.end(), 0.0) / kBenchThreads;
  return elapsed;
}

Elapsed BenchThreads::ForEachBucket(size_t total, const std::function<void(size_t, size_t)>& work) {
  std::atomic<size_t> next{0};
  return Run([&] {
    for (size_t begin; (begin = next.fetch_add(kBenchBucket)) < total;) {
      work(begin, std::min(kBenchBucket, total - begin));
    }
  });
}

GradientSource::GradientSource() : pool_(size_t{1} << 22) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (float& value : pool_) value = normal(random);
}

void GradientSource::Fill(uint32_t step, absl::Span<float> gradient) const {
  // Each stretch is a random stretch of the pool: quick, and independent enough from step to step.
  constexpr size_t kStretch = size_t{1} << 16;
  std::mt19937 random(step);
  for (size_t begin = 0; begin < gradient.size(); begin += kStretch) {
    const size_t length = std::min(kStretch, gradient.size() - begin);
    std::copy_n(pool_.begin() + static_cast<ptrdiff_t>(random() % (pool_.size() - kStretch)), length,
                gradient.begin() + begin);
  }
}

CompressedVector::CompressedVector(size_t total, const CompressorOptions& options)
    : options_(options),
      residual_(total),
      updates_((total + kBenchBucket - 1) / kBenchBucket),
      selected_(updates_.size()) {
  ForgetThresholds();
}

void CompressedVector::ForgetThresholds() {
  compressors_.clear();
  for (size_t begin = 0; begin < residual_.size(); begin += kBenchBucket) {
    const auto length = static_cast<uint32_t>(std::min(kBenchBucket, residual_.size() - begin));
    compressors_.push_back(*BucketCompressor::Create(length, options_));
  }
}

Elapsed CompressedVector::Compress(absl::Span<const float> gradient, BenchThreads* threads) {
  return threads->ForEachBucket(residual_.size(), [this, gradient](size_t begin, size_t length) {
    const size_t bucket = begin / kBenchBucket;
    const absl::StatusOr<CompressResult> result = compressors_[bucket]->Compress(
        gradient.subspan(begin, length), residual().subspan(begin, length), &updates_[bucket]);
    Require(result.status());
    selected_[bucket] = result->selected;
  });
}

size_t CompressedVector::selected() const {
  size_t total = 0;
  for (size_t selected : selected_) total += selected;
  return total;
}

size_t CompressedVector::encoded_bytes() const {
  size_t total = 0;
  for (const std::string& update : updates_) total += update.size();
  return total;
}

Elapsed InPlacePass(absl::Span<const float> gradient, absl::Span<float> residual, BenchThreads* threads) {
  return threads->ForEachBucket(residual.size(), [gradient, residual](size_t begin, size_t length) {
    HWY_DYNAMIC_DISPATCH(AddInPlace)(gradient.data() + begin, residual.data() + begin, length);
  });
}

}  // namespace cddp
#endif  // HWY_ONCE
