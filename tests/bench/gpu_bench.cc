// Compression on a GPU beside one in-place pass over its memory. Run by tests/bench/gpu. Both are timed by the host's
// clock from the call to the result, so launches, the copy of the bytes to the host and the waiting count.

#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/bench/gpu_pass.h"
#include "worker/cuda/cuda_pipeline.h"
#include "worker/cuda/device_compressor.h"

ABSL_FLAG(uint32_t, elements, 25'000'000, "elements of the bucket");
ABSL_FLAG(double, ratio, 0.01, "fraction sent");
ABSL_FLAG(int, rounds, 100, "timed rounds; the median counts");

namespace {

constexpr int kInputs = 4;  // gradients that take turns, so that the residual does not grow along one of them
constexpr int kWarmUp = 10;

double MedianMs(std::vector<absl::Duration> times) {
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return absl::ToDoubleMilliseconds(times[times.size() / 2]);
}

int Fail(const char* what) {
  std::fprintf(stderr, "gpu_bench: %s\n", what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const uint32_t length = absl::GetFlag(FLAGS_elements);
  cddp::CompressorOptions options;
  options.ratio = absl::GetFlag(FLAGS_ratio);
  auto compressor = cddp::DeviceCompressor::Create(length, options, cddp::MakeCudaPipeline);
  if (!compressor.ok()) return Fail(compressor.status().ToString().c_str());
  cddp::device::DevicePipeline& pipeline = (*compressor)->pipeline();

  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> host(length);
  float* inputs[kInputs];
  for (float*& input : inputs) {
    for (float& value : host) value = normal(random);
    input = pipeline.Allocate(length);
    if (input == nullptr || !pipeline.CopyToDevice(host.data(), length, input)) return Fail(pipeline.error());
  }
  std::fill(host.begin(), host.end(), 0.0f);
  float* const residual = pipeline.Allocate(length);
  if (residual == nullptr || !pipeline.CopyToDevice(host.data(), length, residual)) return Fail(pipeline.error());

  // The two take turns, so that both see the same clocks and temperatures.
  std::vector<absl::Duration> compress_times, pass_times;
  float* const other = pipeline.Allocate(length);
  if (other == nullptr || !pipeline.CopyToDevice(host.data(), length, other)) return Fail(pipeline.error());
  for (int round = -kWarmUp; round < absl::GetFlag(FLAGS_rounds); ++round) {
    const float* const input = inputs[(round + kWarmUp) % kInputs];
    absl::string_view update;
    absl::Time start = absl::Now();
    if (absl::Status status = (*compressor)->Start(input, residual); !status.ok()) {
      return Fail(status.ToString().c_str());
    }
    if (auto result = (*compressor)->Finish(&update); !result.ok()) return Fail(result.status().ToString().c_str());
    if (round >= 0) compress_times.push_back(absl::Now() - start);
    start = absl::Now();
    if (!cddp::GpuPass(input, other, length)) return Fail("the pass failed");
    if (round >= 0) pass_times.push_back(absl::Now() - start);
  }
  const double compress_ms = MedianMs(compress_times), pass_ms = MedianMs(pass_times);
  std::printf("result gpu_ms %.4f ms\n", compress_ms);
  std::printf("result gpu_pass_ms %.4f ms\n", pass_ms);
  std::printf("result gpu_vs_pass %.2f x\n", compress_ms / pass_ms);
}
