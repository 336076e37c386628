// Tables for compression and codec (Google Benchmark): 1M, 25M and 100M elements at 0.1, 1 and 10 %, each beside its
// peers and its limit. Run with --benchmark_enable_random_interleaving for fair comparisons.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/codec/update_codec.h"
#include "tests/bench/compress_support.h"
#include "tests/bench/libtorch_top_k.h"

namespace cddp {
namespace {

// Arguments: elements, selected per 100,000.
size_t Elements(const benchmark::State& state) { return static_cast<size_t>(state.range(0)); }
double Ratio(const benchmark::State& state) { return static_cast<double>(state.range(1)) * 1e-5; }

CompressorOptions Options(double ratio) {
  CompressorOptions options;
  options.ratio = ratio;
  return options;
}

// A limit or peer gets the same buffers as the compressor.
struct Buffers {
  explicit Buffers(size_t elements) : gradient(elements), residual(elements) {
    GradientSource().Fill(1, absl::MakeSpan(gradient));
  }
  std::vector<float> gradient, residual;
};

void Report(benchmark::State& state) { state.SetItemsProcessed(state.iterations() * state.range(0)); }

void Compress(benchmark::State& state, ValueEncoding value_encoding, IndexEncoding index_encoding) {
  const GradientSource source;
  BenchThreads threads;
  std::vector<float> gradient(Elements(state));
  CompressorOptions options = Options(Ratio(state));
  options.value_encoding = value_encoding;
  options.index_encoding = index_encoding;
  CompressedVector vector(gradient.size(), options);
  uint32_t step = 0;
  for (; step < 5; ++step) {
    source.Fill(step, absl::MakeSpan(gradient));
    vector.Compress(gradient, &threads);
  }
  for (auto _ : state) {
    source.Fill(++step, absl::MakeSpan(gradient));
    state.SetIterationTime(vector.Compress(gradient, &threads).wall);
  }
  state.counters["bits/selected"] =
      8.0 * static_cast<double>(vector.encoded_bytes()) / static_cast<double>(vector.selected());
  Report(state);
}

void Pass(benchmark::State& state) {
  BenchThreads threads;
  Buffers buffers(Elements(state));
  for (auto _ : state) {
    state.SetIterationTime(InPlacePass(buffers.gradient, absl::MakeSpan(buffers.residual), &threads).wall);
  }
  Report(state);
}

void LibTorchWhole(benchmark::State& state) {
  Buffers buffers(Elements(state));
  SetLibTorchThreads(kBenchThreads);
  const auto k = static_cast<size_t>(static_cast<double>(Elements(state)) * Ratio(state));
  for (auto _ : state) LibTorchTopK(buffers.gradient.data(), buffers.residual.data(), Elements(state), k);
  Report(state);
}

void NthElement(benchmark::State& state) {
  Buffers buffers(Elements(state));
  BenchThreads threads;
  for (auto _ : state) {
    state.SetIterationTime(threads
                               .ForEachBucket(Elements(state),
                                              [&](size_t begin, size_t length) {
                                                std::vector<float> magnitudes(length);
                                                for (size_t i = 0; i < length; ++i) {
                                                  buffers.residual[begin + i] += buffers.gradient[begin + i];
                                                  magnitudes[i] = std::fabs(buffers.residual[begin + i]);
                                                }
                                                const uint32_t k =
                                                    SelectedCount(static_cast<uint32_t>(length), Ratio(state));
                                                std::nth_element(magnitudes.begin(), magnitudes.begin() + k - 1,
                                                                 magnitudes.end(), std::greater<>());
                                                for (size_t i = begin; i < begin + length; ++i) {
                                                  if (std::fabs(buffers.residual[i]) >= magnitudes[k - 1])
                                                    buffers.residual[i] = 0;
                                                }
                                              })
                               .wall);
  }
  Report(state);
}

// The codec on the updates of one step, beside the entropy of the gaps and raw pairs.
void Codec(benchmark::State& state, IndexEncoding index_encoding, bool decode) {
  BenchThreads threads;
  Buffers buffers(Elements(state));
  CompressorOptions options = Options(Ratio(state));
  options.index_encoding = index_encoding;
  CompressedVector vector(Elements(state), options);
  vector.Compress(buffers.gradient, &threads);
  std::vector<DecodedUpdate> decoded;
  for (size_t i = 0; i < vector.updates().size(); ++i) {
    const size_t length = std::min(kBenchBucket, Elements(state) - i * kBenchBucket);
    decoded.push_back(*DecodeUpdate(vector.updates()[i], static_cast<uint32_t>(length)));
  }
  std::string bytes;
  for (auto _ : state) {
    for (size_t i = 0; i < decoded.size(); ++i) {
      const size_t begin = i * kBenchBucket;
      const size_t length = std::min(kBenchBucket, Elements(state) - begin);
      if (decode) {
        benchmark::DoNotOptimize(
            AddUpdate(vector.updates()[i], absl::MakeSpan(buffers.residual).subspan(begin, length)).ok());
      } else {
        EncodeSparse(decoded[i].indices, absl::MakeSpan(decoded[i].values), static_cast<uint32_t>(length),
                     index_encoding, ValueEncoding::kFp16, &bytes);
      }
    }
  }
  const double p = Ratio(state);
  state.counters["bits/selected"] =
      8.0 * static_cast<double>(vector.encoded_bytes()) / static_cast<double>(vector.selected());
  state.counters["entropy+16"] = (-p * std::log2(p) - (1 - p) * std::log2(1 - p)) / p + 16;
  state.counters["raw_pair"] = 64;
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(vector.selected()));
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"elements", "ratio_e5"})
      ->ArgsProduct({{1'000'000, 25'000'000, 100'000'000}, {100, 1000, 10000}})
      ->Unit(benchmark::kMillisecond);
}

void ManualSizes(benchmark::internal::Benchmark* benchmark) {
  Sizes(benchmark);
  benchmark->UseManualTime();
}

BENCHMARK_CAPTURE(Compress, fp16_gap8, ValueEncoding::kFp16, IndexEncoding::kGap8)->Apply(ManualSizes);
BENCHMARK_CAPTURE(Compress, int4_gap8, ValueEncoding::kInt4, IndexEncoding::kGap8)->Apply(ManualSizes);
BENCHMARK_CAPTURE(Compress, ternary_rice, ValueEncoding::kTernary, IndexEncoding::kRice)->Apply(ManualSizes);
BENCHMARK(Pass)->Apply(ManualSizes);
BENCHMARK(NthElement)->Apply(ManualSizes)->Iterations(2);
BENCHMARK(LibTorchWhole)->Apply(Sizes)->Iterations(1);
BENCHMARK_CAPTURE(Codec, encode_gap8, IndexEncoding::kGap8, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Codec, encode_rice, IndexEncoding::kRice, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Codec, add_gap8, IndexEncoding::kGap8, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Codec, add_rice, IndexEncoding::kRice, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Codec, add_bitmap, IndexEncoding::kBitmap, true)->Apply(Sizes);

}  // namespace
}  // namespace cddp

BENCHMARK_MAIN();
