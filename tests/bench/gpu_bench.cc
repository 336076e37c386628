// The whole way of a step's buckets on a GPU, through the engine that workers use: all buckets are ready together,
// their bytes come to the host, and the same bytes are applied to the weights. Beside it, one in-place pass over as
// much memory. Run by tests/bench/gpu. All are timed by the host's clock from the first call to the result, so
// launches, the bus, threads and waiting count.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/check/check.h"
#include "tests/bench/gpu_pass.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/cuda/cuda_memory.h"
#include "worker/cuda/cuda_stream.h"

ABSL_FLAG(uint32_t, buckets, 49, "buckets of a step; the default is a ResNet-50's");
ABSL_FLAG(uint32_t, bucket_elements, 524288, "elements of each");
ABSL_FLAG(cddp::ValueEncoding, encoding, cddp::ValueEncoding::kInt4, "of values");
ABSL_FLAG(std::vector<std::string>, ratios, std::vector<std::string>({"0.01", "0.001", "0.1"}), "fractions sent");
ABSL_FLAG(int, rounds, 60, "timed steps; the median counts");
ABSL_FLAG(int, warm_up, 30, "steps before, in which the threshold settles");

namespace {

constexpr int kInputs = 8;  // gradients that take turns, so that the residual does not only grow along one of them

double MedianMs(std::vector<absl::Duration> times) {
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return absl::ToDoubleMilliseconds(times[times.size() / 2]);
}

std::shared_ptr<float> OnDevice(const std::vector<float>& values) {
  auto memory = cddp::AllocateOnDevice(0, values.size() * sizeof(float));
  CDDP_CHECK(memory.ok()) << memory.status();
  const absl::Status copied = cddp::CopyToDevice(0, nullptr, memory->get(), values.data(), values.size() * 4);
  CDDP_CHECK(copied.ok()) << copied;
  return {*memory, static_cast<float*>(memory->get())};
}

std::vector<std::shared_ptr<float>> RandomInputs(size_t elements) {
  std::vector<std::shared_ptr<float>> inputs(kInputs);
  std::vector<std::thread> threads;
  for (int i = 0; i < kInputs; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(i + 1);
      std::normal_distribution<float> normal;
      std::vector<float> values(elements);
      for (float& value : values) value = normal(random);
      inputs[i] = OnDevice(values);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return inputs;
}

// Counts calls of `done`. Waiting spins: what it costs to wake a thread is not the engine's.
class Done {
 public:
  void Note() { ++count_; }
  void Await(uint32_t count) {
    while (count_ != count) {
    }
    count_ = 0;
  }

 private:
  std::atomic<uint32_t> count_ = 0;
};

struct Times {
  std::vector<absl::Duration> encode, apply, staging, pass;
  size_t bytes = 0;
};

class Bench {
 public:
  explicit Bench(const std::vector<std::shared_ptr<float>>& inputs)
      : buckets_(absl::GetFlag(FLAGS_buckets)),
        elements_(size_t{buckets_} * absl::GetFlag(FLAGS_bucket_elements)),
        inputs_(inputs),
        weights_(OnDevice(std::vector<float>(elements_))),
        other_(OnDevice(std::vector<float>(elements_))) {}

  Times Run(double ratio, cddp::CudaCounts* counts) {
    auto layout = cddp::ParameterLayout::Create({{"weights", {static_cast<int64_t>(elements_)}}},
                                                absl::GetFlag(FLAGS_bucket_elements));
    CDDP_CHECK(layout.ok()) << layout.status();
    cddp::GradientCompressorOptions options;
    options.compressor.ratio = ratio;
    options.compressor.value_encoding = absl::GetFlag(FLAGS_encoding);
    auto engine = cddp::MakeCudaBuckets(*layout, options, 1, {});
    CDDP_CHECK(engine.ok()) << engine.status();
    Times times;
    cddp::CudaCounts before;
    for (int round = -absl::GetFlag(FLAGS_warm_up); round < absl::GetFlag(FLAGS_rounds); ++round) {
      if (round == 0) before = (*engine)->counts();
      Step(engine->get(), ++step_, round >= 0, &times);
    }
    *counts = (*engine)->counts();
    counts->encode_batches -= before.encode_batches;
    counts->apply_batches -= before.apply_batches;
    counts->searches -= before.searches;
    counts->synchronising -= before.synchronising;
    return times;
  }

 private:
  void Step(cddp::CudaBuckets* engine, uint64_t step, bool timed, Times* times) {
    const float* const input = inputs_[step % kInputs].get();
    absl::Time start = absl::Now();
    CDDP_CHECK(cddp::GpuPass(input, other_.get(), elements_)) << "the pass failed";
    if (timed) times->pass.push_back(absl::Now() - start);

    std::vector<cddp::EncodedBucket> encoded(buckets_);
    engine->Bind({input, elements_}, {weights_.get(), elements_});
    engine->BeginGradients(step);
    start = absl::Now();
    const auto token = cddp::RecordReady(0, nullptr);
    CDDP_CHECK(token.ok()) << token.status();
    for (uint32_t bucket = buckets_; bucket-- > 0;) {
      engine->Encode(bucket, *token, false, [&, bucket](cddp::EncodedBucket result) {
        encoded[bucket] = std::move(result);
        done_.Note();
      });
    }
    engine->Flush();
    done_.Await(buckets_);
    if (timed) times->encode.push_back(absl::Now() - start);

    start = absl::Now();
    times->bytes = 0;
    for (uint32_t bucket = buckets_; bucket-- > 0;) {
      cddp::PushReply reply;
      reply.updates = {encoded[bucket].update};
      times->bytes += encoded[bucket].update.size();
      engine->Apply(bucket, reply, encoded[bucket].update, [&](const absl::Status& status) {
        CDDP_CHECK(status.ok()) << status;
        done_.Note();
      });
    }
    if (timed) times->staging.push_back(absl::Now() - start);
    engine->Flush();
    done_.Await(buckets_);
    const absl::Status held = engine->WaitForWeights(nullptr);
    CDDP_CHECK(held.ok()) << held;
    CDDP_CHECK(cddp::SynchroniseStream(0, nullptr).ok()) << "the device failed";
    if (timed) times->apply.push_back(absl::Now() - start);
  }

  const uint32_t buckets_;
  const size_t elements_;
  const std::vector<std::shared_ptr<float>>& inputs_;
  const std::shared_ptr<float> weights_;
  const std::shared_ptr<float> other_;
  uint64_t step_ = 0;
  Done done_;
};

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  if (absl::Status status = cddp::CudaAvailable(); !status.ok()) {
    std::fprintf(stderr, "gpu_bench: %s\n", status.ToString().c_str());
    return 1;
  }
  const size_t elements = size_t{absl::GetFlag(FLAGS_buckets)} * absl::GetFlag(FLAGS_bucket_elements);
  const std::vector<std::shared_ptr<float>> inputs = RandomInputs(elements);
  Bench bench(inputs);
  for (const std::string& ratio : absl::GetFlag(FLAGS_ratios)) {
    // "gpu_step_ms" is of 1 %, "gpu_step_ms_01" of 0.1 %, "gpu_step_ms_10" of 10 %.
    const std::string suffix = ratio == "0.01" ? "" : ratio == "0.001" ? "_01" : ratio == "0.1" ? "_10" : "_" + ratio;
    cddp::CudaCounts counts;
    const Times times = bench.Run(std::stod(ratio), &counts);
    const double encode_ms = MedianMs(times.encode), pass_ms = MedianMs(times.pass);
    std::printf("result gpu_step_ms%s %.4f ms\n", suffix.c_str(), encode_ms);
    std::printf("result gpu_pass_ms%s %.4f ms\n", suffix.c_str(), pass_ms);
    std::printf("result gpu_vs_pass%s %.2f x\n", suffix.c_str(), encode_ms / pass_ms);
    std::printf("result gpu_apply_ms%s %.4f ms\n", suffix.c_str(), MedianMs(times.apply));
    std::printf("result gpu_apply_staging_ms%s %.4f ms\n", suffix.c_str(), MedianMs(times.staging));
    std::printf("result gpu_step_bytes%s %zu bytes\n", suffix.c_str(), times.bytes);
    std::printf("result gpu_batches%s %.2f per_step\n", suffix.c_str(),
                static_cast<double>(counts.encode_batches) / absl::GetFlag(FLAGS_rounds));
    std::printf("result gpu_searches%s %.2f per_step\n", suffix.c_str(),
                static_cast<double>(counts.searches) / absl::GetFlag(FLAGS_rounds));
    std::printf("result gpu_synchronising_calls%s %.0f calls\n", suffix.c_str(),
                static_cast<double>(counts.synchronising));
    std::fflush(stdout);
  }
}
