// Compression of 25M elements at 1 % against its limit and LibTorch, all in one run, interleaved; ends with lines
// "result NAME VALUE UNIT". Times are the least of all repetitions, since others may use the machine.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "common/codec/gap8.h"
#include "common/codec/rice.h"
#include "common/codec/update_codec.h"
#include "common/compress/bucket_compressor.h"
#include "tests/bench/compress_support.h"
#include "tests/bench/libtorch_top_k.h"

ABSL_FLAG(int, repetitions, 100, "Interleaved repetitions of all that is timed but LibTorch.");
ABSL_FLAG(int, libtorch_repetitions, 3, "Repetitions of LibTorch's path, which takes a second each.");

namespace cddp {
namespace {

constexpr size_t kTotal = 25'000'000;
constexpr double kRatio = 0.01;

// The least time of all repetitions.
struct Least {
  double wall = std::numeric_limits<double>::infinity();
  double cpu = std::numeric_limits<double>::infinity();
  void Add(Elapsed elapsed) {
    wall = std::min(wall, elapsed.wall);
    cpu = std::min(cpu, elapsed.cpu);
  }
};

void Result(absl::string_view name, double value, absl::string_view unit) {
  std::printf("result %s %.4g %s\n", std::string(name).c_str(), value, std::string(unit).c_str());
}

CompressorOptions Options(ValueEncoding value_encoding, IndexEncoding index_encoding) {
  CompressorOptions options;
  options.ratio = kRatio;
  options.value_encoding = value_encoding;
  options.index_encoding = index_encoding;
  return options;
}

class Bench {
 public:
  Bench() : gradient_(kTotal), other_(kTotal) {}

  void Times() {
    CompressedVector warm(kTotal, Options(ValueEncoding::kFp16, IndexEncoding::kGap8));
    for (int i = 0; i < 10; ++i) Step(&warm);  // the residual grows to what it is in training
    CompressedVector cold(kTotal, Options(ValueEncoding::kFp16, IndexEncoding::kGap8));
    std::copy(warm.residual().begin(), warm.residual().end(), cold.residual().begin());
    Least exact, first, pass;
    for (int i = 0; i < absl::GetFlag(FLAGS_repetitions); ++i) {
      exact.Add(Step(&warm));
      cold.ForgetThresholds();
      first.Add(Step(&cold));
      Flush();
      pass.Add(InPlacePass(gradient_, absl::MakeSpan(other_), &threads_));
      if (i % 20 == 0) std::fill(other_.begin(), other_.end(), 0.0f);
    }
    const Least libtorch = LibTorch(&exact, &warm);
    Print("in-place pass, 12 bytes an element", pass);
    Print("compression to fp16 bytes, warm", exact);
    Print("compression to fp16 bytes, first step", first);
    Result("compress_speedup_vs_libtorch", libtorch.wall / exact.wall, "x");
    Result("compress_exact_vs_pass", exact.wall / pass.wall, "x");
    Result("compress_cold_vs_pass", first.wall / pass.wall, "x");
    // What these are when other programs have the processors at times.
    Result("compress_exact_vs_pass_cpu", exact.cpu / pass.cpu, "x");
    Result("compress_cold_vs_pass_cpu", first.cpu / pass.cpu, "x");
    Result("compress_time", exact.wall * 1e3, "ms");
    Result("pass_time", pass.wall * 1e3, "ms");
  }

  void Bits() {
    const auto total = [this](ValueEncoding value_encoding, IndexEncoding index_encoding) {
      CompressedVector vector(4 * kBenchBucket, Options(value_encoding, index_encoding));
      vector.Compress(gradient_, &threads_);
      return 8.0 * static_cast<double>(vector.encoded_bytes()) / static_cast<double>(vector.selected());
    };
    const double fp32 = total(ValueEncoding::kFp32, IndexEncoding::kGap8);
    const double fp32_rice = total(ValueEncoding::kFp32, IndexEncoding::kRice);
    Result("bits_index", fp32 - 32, "bits");
    Result("bits_index_rice", fp32_rice - 32, "bits");
    for (ValueEncoding encoding :
         {ValueEncoding::kFp16, ValueEncoding::kInt8, ValueEncoding::kInt4, ValueEncoding::kInt2}) {
      Result(absl::StrCat("bits_", Name(encoding)), total(encoding, IndexEncoding::kGap8), "bits");
    }
    Result("bits_ternary", total(ValueEncoding::kTernary, IndexEncoding::kRice), "bits");
  }

  // Indices of 25M elements, checked and decoded on one thread.
  void DecodeRates() {
    std::vector<uint32_t> indices;
    for (uint32_t i = 0; i < kTotal; ++i) {
      if (gradient_[i] > 2.3263f) indices.push_back(i);  // 1 %
    }
    std::string gap8, rice;
    AppendGap8(indices, kTotal, &gap8);
    const uint8_t parameter = AppendRice(indices, kTotal, &rice);
    Least gap8_time, rice_time;
    for (int i = 0; i < absl::GetFlag(FLAGS_repetitions); ++i) {
      gap8_time.Add(Time([&] {
        Require(ValidateGap8(Bytes(gap8), indices.size(), kTotal));
        EachBlock(Bytes(gap8), indices, [](const IndexBlock& block, uint32_t* to) { DecodeGap8Block(block, to); });
      }));
      rice_time.Add(Time([&] {
        Require(ValidateRice(Bytes(rice), indices.size(), kTotal, parameter));
        EachBlock(Bytes(rice), indices,
                  [parameter](const IndexBlock& block, uint32_t* to) { DecodeRiceBlock(block, parameter, to); });
      }));
    }
    const double millions = static_cast<double>(indices.size()) * 1e-6;
    Result("decode_rate", millions / gap8_time.wall, "M/s");
    Result("decode_rate_rice", millions / rice_time.wall, "M/s");
  }

 private:
  static absl::Span<const uint8_t> Bytes(const std::string& bytes) {
    return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  }

  template <typename Work>
  static Elapsed Time(Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    Elapsed elapsed;
    elapsed.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return elapsed;
  }

  template <typename Decode>
  static void EachBlock(absl::Span<const uint8_t> part, const std::vector<uint32_t>& expected, Decode decode) {
    uint32_t decoded[kDecodeRoom];
    for (size_t number = 0; number < IndexBlockCount(expected.size()); ++number) {
      decode(GetIndexBlock(part, expected.size(), kTotal, number), decoded);
      if (decoded[0] != expected[number * kIndexBlock]) Require(absl::InternalError("wrong index"));
    }
  }

  static void Print(absl::string_view what, const Least& time) {
    std::printf("%-50s %9.2f ms\n", std::string(what).c_str(), time.wall * 1e3);
  }

  // What a timed call finds in the caches is what this leaves there, whatever ran before.
  void Flush() { InPlacePass(other_, absl::MakeSpan(other_), &threads_); }

  Elapsed Step(CompressedVector* vector) {
    source_.Fill(step_++, absl::MakeSpan(gradient_));
    Flush();
    return vector->Compress(gradient_, &threads_);
  }

  // LibTorch on the whole vector with two threads of its own, and on buckets from two threads: the faster one.
  Least LibTorch(Least* exact, CompressedVector* warm) {
    Least whole, buckets;
    const auto k = static_cast<size_t>(kTotal * kRatio);
    for (int i = 0; i < absl::GetFlag(FLAGS_libtorch_repetitions); ++i) {
      SetLibTorchThreads(kBenchThreads);
      whole.Add(Time([&] { LibTorchTopK(gradient_.data(), other_.data(), kTotal, k); }));
      buckets.Add(threads_.ForEachBucket(kTotal, [this](size_t begin, size_t length) {
        SetLibTorchThreads(1);
        LibTorchTopK(gradient_.data() + begin, other_.data() + begin, length,
                     SelectedCount(static_cast<uint32_t>(length), kRatio));
      }));
      exact->Add(Step(warm));
    }
    Print("LibTorch top-k of the whole", whole);
    Print("LibTorch top-k of the same buckets, two threads", buckets);
    Result("compress_speedup_vs_libtorch_buckets", buckets.wall / exact->wall, "x");
    return whole;
  }

  BenchThreads threads_;
  GradientSource source_;
  uint32_t step_ = 0;
  std::vector<float> gradient_, other_;
};

}  // namespace
}  // namespace cddp

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  cddp::Bench bench;
  bench.Times();
  bench.Bits();
  bench.DecodeRates();
}
