#include "worker/buckets/checked_buckets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/codec/update_codec.h"

namespace cddp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

ParameterLayout Layout() { return *ParameterLayout::Create({{"w", {1500}}}, 512); }

std::unique_ptr<HostBuckets> Host() { return *HostBuckets::Create(Layout(), {}, 2); }

// The host's engine, but for one bit of what it encodes of a bucket, or of that bucket's weights.
class FaultyBuckets final : public BucketEngine {
 public:
  enum class Fault { kNone, kBytes, kWeights, kFinite };
  FaultyBuckets(Fault fault, uint32_t bucket) : fault_(fault), bucket_(bucket), host_(Host()) {}

  void Bind(absl::Span<const float> gradients, absl::Span<float> weights) override {
    weights_ = weights;
    host_->Bind(gradients, weights);
  }
  bool needs_whole_gradient() const override { return host_->needs_whole_gradient(); }
  uint32_t most_encodings() const override { return host_->most_encodings(); }
  void BeginGradients(uint64_t step) override { host_->BeginGradients(step); }
  void Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) override {
    host_->Encode(bucket, ready, with_checksum, [&](EncodedBucket encoded) {
      if (bucket == bucket_ && fault_ == Fault::kFinite) encoded.finite = false;
      if (bucket == bucket_ && fault_ == Fault::kBytes) {
        std::string bytes(encoded.update.view());
        bytes.back() ^= 1;
        encoded.update = SharedBytes::Own(std::move(bytes));
      }
      done(std::move(encoded));
    });
  }
  void TakeBack(uint32_t bucket, const SharedBytes& update) override { host_->TakeBack(bucket, update); }
  void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) override {
    host_->Apply(bucket, reply, pushed, std::move(done));
    if (bucket == bucket_ && fault_ == Fault::kWeights) weights_[Layout().bucket_range(bucket).begin] += 1;
  }
  SharedBytes EncodeWeights(uint32_t bucket) override { return host_->EncodeWeights(bucket); }
  void SetWeights(uint32_t bucket, absl::Span<const float> weights) override { host_->SetWeights(bucket, weights); }
  void ClearWeights(uint32_t bucket) override { host_->ClearWeights(bucket); }
  BucketEngineState State() const override { return host_->State(); }
  absl::Status SetState(const BucketEngineState& state) override { return host_->SetState(state); }

 private:
  const Fault fault_;
  const uint32_t bucket_;
  const std::unique_ptr<HostBuckets> host_;
  absl::Span<float> weights_;
};

// The first error of `steps` steps in which every bucket's own update comes back as its reply.
absl::Status TrainOn(BucketEngine* engine, int steps) {
  const ParameterLayout layout = Layout();
  std::vector<float> weights(layout.total_elements(), 0.5f), gradients(weights.size());
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  absl::Status first;
  for (int step = 1; step <= steps; ++step) {
    for (float& value : gradients) value = normal(random);
    engine->Bind(gradients, absl::MakeSpan(weights));
    engine->BeginGradients(step);
    for (uint32_t bucket = layout.bucket_count(); bucket-- > 0;) {
      // Twice within a step, so that the second checksum tells of the first reply.
      for (int time = 0; time < 2; ++time) {
        EncodedBucket encoded;
        engine->Encode(bucket, nullptr, /*with_checksum=*/true, [&](EncodedBucket one) { encoded = std::move(one); });
        PushReply reply;
        if (encoded.finite) reply.updates.push_back(encoded.update);
        engine->Apply(bucket, reply, encoded.update, [&](const absl::Status& status) { first.Update(status); });
      }
    }
  }
  return first;
}

absl::Status RunChecked(FaultyBuckets::Fault fault, uint32_t bucket) {
  CheckedBuckets checked(Layout(), std::make_unique<FaultyBuckets>(fault, bucket), Host(),
                         [](absl::Span<const float> from, absl::Span<float> to) {
                           std::copy(from.begin(), from.end(), to.begin());
                           return absl::OkStatus();
                         });
  return TrainOn(&checked, 3);
}

TEST(CheckedBucketsTest, AnEngineThatDoesAsTheHostsPasses) {
  EXPECT_EQ(RunChecked(FaultyBuckets::Fault::kNone, 0), absl::OkStatus());
}

TEST(CheckedBucketsTest, OneBitThatDiffersEndsInAnErrorThatNamesTheBucket) {
  const absl::Status bytes = RunChecked(FaultyBuckets::Fault::kBytes, 1);
  EXPECT_TRUE(absl::IsInternal(bytes));
  EXPECT_THAT(std::string(bytes.message()), AllOf(HasSubstr("bucket 1: its bytes"), HasSubstr("--device=cpu")));
  EXPECT_THAT(std::string(RunChecked(FaultyBuckets::Fault::kWeights, 2).message()),
              HasSubstr("bucket 2: the checksum of its weights"));
  EXPECT_THAT(std::string(RunChecked(FaultyBuckets::Fault::kFinite, 0).message()),
              HasSubstr("bucket 0: whether its gradient is finite"));
}

TEST(CheckedBucketsTest, ACopyThatFailsIsAnError) {
  CheckedBuckets checked(Layout(), Host(), Host(),
                         [](absl::Span<const float>, absl::Span<float>) { return absl::InternalError("device lost"); });
  EXPECT_THAT(std::string(TrainOn(&checked, 1).message()), HasSubstr("device lost"));
}

}  // namespace
}  // namespace cddp
