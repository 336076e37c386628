// The host's engine and a device's, that are asked for the same and must give the same: bytes, weights, residuals,
// velocities, thresholds and errors.

#ifndef TESTS_UNIT_CUDA_TWIN_ENGINES_H_
#define TESTS_UNIT_CUDA_TWIN_ENGINES_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/codec/update_codec.h"
#include "common/sync/mutex.h"
#include "tests/unit/codec/random_updates.h"
#include "tests/unit/cuda/engine_device.h"
#include "worker/buckets/host_buckets.h"

namespace cddp {

inline bool SameBits(absl::Span<const float> a, absl::Span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// What callbacks of other threads bring, by bucket.
template <typename T>
class Results {
 public:
  explicit Results(uint32_t buckets) : results_(buckets) {}

  void Put(uint32_t bucket, T result) {
    MutexLock lock(mutex_);
    EXPECT_FALSE(results_[bucket].has_value()) << "bucket " << bucket << " is done twice";
    results_[bucket] = std::move(result);
    changed_.NotifyAll();
  }
  T Await(uint32_t bucket) {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return results_[bucket].has_value(); });
    return *std::exchange(results_[bucket], std::nullopt);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::optional<T>> results_ ABSL_GUARDED_BY(mutex_);
};

class TwinEngines {
 public:
  static constexpr uint32_t kWorkers = 4;

  TwinEngines(const EngineDeviceKind& kind, const ParameterLayout& layout, const GradientCompressorOptions& options,
              uint32_t seed = 1)
      : layout_(layout),
        device_(kind.make()),
        weights_(RandomValues(elements(), false, seed)),
        gradients_on_device_(device_->Array(elements())),
        weights_on_device_(device_->Array(elements())),
        loss_on_device_(device_->Array(1)),
        host_(*HostBuckets::Create(layout, options, kWorkers)),
        twin_(*device_->MakeBuckets(layout, options, kWorkers)),
        encoded_(layout.bucket_count()),
        applied_(layout.bucket_count()),
        random_(seed) {
    device_->Write(weights_on_device_.get(), weights_);
  }

  size_t elements() const { return layout_.total_elements(); }
  EngineDevice& device() { return *device_; }
  CudaBuckets& twin() { return *twin_; }
  std::mt19937& random() { return random_; }

  // One step: encodes all buckets in random batches, compares, and applies random replies. `finite_loss`: else the
  // host's engine encodes nothing, as in a step that is refused whole.
  void Step(uint64_t step, const std::vector<float>& gradients, bool finite_loss = true) {
    device_->Write(gradients_on_device_.get(), gradients);
    device_->Write(loss_on_device_.get(), {finite_loss ? 0.5f : NAN});
    twin_->CheckLoss(loss_on_device_.get());
    host_->Bind(gradients, absl::MakeSpan(weights_));
    twin_->Bind({gradients_on_device_.get(), elements()}, {weights_on_device_.get(), elements()});
    if (finite_loss) host_->BeginGradients(step);
    twin_->BeginGradients(step);
    const std::vector<bool> checked = EncodeBuckets();
    std::vector<SharedBytes> updates(layout_.bucket_count());
    for (uint32_t bucket = layout_.bucket_count(); bucket-- > 0;) {
      const EncodedBucket twin = encoded_.Await(bucket);
      if (finite_loss) {
        host_->Encode(bucket, nullptr, checked[bucket],
                      [&](const EncodedBucket& host) { Compare(bucket, host, twin); });
      } else {
        EXPECT_FALSE(twin.finite);
      }
      updates[bucket] = twin.update;
    }
    if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) return;
    ApplyAll(updates);
    CompareStates();
  }

  void CompareStates() {
    const BucketEngineState host = host_->State(), twin = twin_->State();
    EXPECT_EQ(twin.ratio, host.ratio);
    EXPECT_TRUE(SameBits(twin.residual, host.residual)) << "residuals differ";
    EXPECT_TRUE(SameBits(twin.velocity, host.velocity)) << "velocities differ";
    EXPECT_EQ(twin.thresholds, host.thresholds);
    EXPECT_TRUE(SameBits(device_->Read(weights_on_device_.get(), elements()), weights_)) << "weights differ";
  }

  // Both go on from the state of the other.
  void SwapStates() {
    const BucketEngineState host = host_->State(), twin = twin_->State();
    ASSERT_TRUE(host_->SetState(twin).ok());
    ASSERT_TRUE(twin_->SetState(host).ok());
  }

  // A reply for `bucket`, of any kind that a server gives.
  PushReply RandomReply(uint32_t bucket) {
    const uint32_t length = layout_.bucket_length(bucket);
    PushReply reply;
    reply.refused = random_() % 5 == 0;
    reply.replaces = random_() % 6 == 0;
    const uint32_t count = reply.replaces ? 1 : reply.refused ? 0 : random_() % 4;
    for (uint32_t i = 0; i < count; ++i) reply.updates.push_back(RandomUpdate(length));
    return reply;
  }

  SharedBytes RandomUpdate(uint32_t length) {
    const ValueEncoding values_as = kAllValueEncodings[random_() % std::size(kAllValueEncodings)];
    std::string bytes;
    if (random_() % 4 == 0) {
      std::vector<float> values = RandomValues(length, false, static_cast<uint32_t>(random_()));
      if (random_() % 2 == 0) std::fill(values.begin(), values.begin() + length / 2, -0.0f);
      EncodeAll(absl::MakeSpan(values), values_as, &bytes);
      return SharedBytes::Own(std::move(bytes));
    }
    constexpr double kDensities[] = {0.0001, 0.003, 0.01, 0.2, 0.7, 1};
    const std::vector<uint32_t> indices = RandomIndices(length, kDensities[random_() % std::size(kDensities)],
                                                        random_() % 2 == 0, static_cast<uint32_t>(random_()));
    std::vector<float> values = RandomValues(indices.size(), false, static_cast<uint32_t>(random_()));
    const IndexEncoding indices_as = kSparseIndexEncodings[random_() % std::size(kSparseIndexEncodings)];
    EncodeSparse(indices, absl::MakeSpan(values), length, indices_as, values_as, &bytes);
    return SharedBytes::Own(std::move(bytes));
  }

  // Both apply the reply; the errors must be the same.
  void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed) {
    absl::Status host;
    host_->Apply(bucket, reply, pushed, [&](absl::Status status) { host = std::move(status); });
    twin_->Apply(bucket, reply, pushed, [this, bucket](const absl::Status& status) { applied_.Put(bucket, status); });
    expected_.emplace_back(bucket, host);
    if (random_() % 3 == 0) twin_->Flush();
  }
  void AwaitApplied() {
    twin_->Flush();
    for (const auto& [bucket, host] : expected_) EXPECT_EQ(applied_.Await(bucket), host);
    expected_.clear();
  }

 private:
  // Tells which buckets are checked.
  std::vector<bool> EncodeBuckets() {
    std::vector<bool> checked(layout_.bucket_count());
    std::vector<ReadyToken> late;
    ReadyToken token;
    for (uint32_t bucket = layout_.bucket_count(); bucket-- > 0;) {
      if (random_() % 3 == 0) token = random_() % 4 == 0 ? nullptr : late.emplace_back(device_->MakeToken());
      checked[bucket] = random_() % 4 == 0;
      twin_->Encode(bucket, token, checked[bucket],
                    [this, bucket](EncodedBucket result) { encoded_.Put(bucket, std::move(result)); });
      if (random_() % 4 == 0) twin_->Flush();
      if (!late.empty() && random_() % 2 == 0) {
        device_->SetReady(late.front());
        late.erase(late.begin());
      }
    }
    twin_->Flush();
    for (const ReadyToken& one : late) device_->SetReady(one);
    return checked;
  }

  void Compare(uint32_t bucket, const EncodedBucket& host, const EncodedBucket& twin) {
    SCOPED_TRACE(testing::Message() << "bucket " << bucket);
    ASSERT_EQ(twin.finite, host.finite);
    EXPECT_EQ(twin.selected, host.selected);
    EXPECT_EQ(twin.replica_crc32c, host.replica_crc32c);
    ASSERT_TRUE(twin.update.view() == host.update.view())
        << twin.update.size() << " and " << host.update.size() << " bytes";
  }

  void ApplyAll(const std::vector<SharedBytes>& updates) {
    for (uint32_t bucket = layout_.bucket_count(); bucket-- > 0;) {
      const SharedBytes& update = updates[bucket];
      if (!update.empty() && random_() % 5 == 0) {
        host_->TakeBack(bucket, update);
        twin_->TakeBack(bucket, update);
        if (random_() % 2 == 0) continue;
        Apply(bucket, RandomReply(bucket), {});
        continue;
      }
      Apply(bucket, RandomReply(bucket), update);
    }
    AwaitApplied();
  }

  const ParameterLayout layout_;
  const std::unique_ptr<EngineDevice> device_;
  std::vector<float> weights_;
  const std::shared_ptr<float> gradients_on_device_;
  const std::shared_ptr<float> weights_on_device_;
  const std::shared_ptr<float> loss_on_device_;
  const std::unique_ptr<BucketEngine> host_;
  const std::unique_ptr<CudaBuckets> twin_;
  Results<EncodedBucket> encoded_;
  Results<absl::Status> applied_;
  std::vector<std::pair<uint32_t, absl::Status>> expected_;
  std::mt19937 random_;
};

}  // namespace cddp

#endif  // TESTS_UNIT_CUDA_TWIN_ENGINES_H_
