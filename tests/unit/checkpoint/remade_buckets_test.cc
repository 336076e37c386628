#include "worker/checkpoint/remade_buckets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "worker/buckets/host_buckets.h"

namespace cddp {
namespace {

constexpr uint32_t kLength = 64;

class RemadeBucketsTest : public ::testing::Test {
 protected:
  RemadeBucketsTest() { std::filesystem::create_directories(folder_); }
  ~RemadeBucketsTest() override { std::filesystem::remove_all(folder_); }

  struct Life {
    std::unique_ptr<RemadeBuckets> engine;
    std::vector<float> fed = std::vector<float>(kLength);
    std::vector<float> counted = std::vector<float>(kLength);
    std::vector<std::string> sent;
  };

  Life Begin(uint64_t step) {
    GradientCompressorOptions options;
    options.compressor.ratio = 0.1;
    Life life;
    life.engine = std::make_unique<RemadeBuckets>(*layout_, *HostBuckets::Create(*layout_, options, 1));
    life.engine->set_log(*SentLog::Open(folder_, 0, "run", step));
    return life;
  }

  // A step whose gradient is that of `step`, times `factor`: another arithmetic's. `refused`: as the servers say.
  void Step(uint64_t step, float factor, Life* life, bool refused = false, bool finite = true) {
    std::vector<float> gradient(kLength);
    for (uint32_t i = 0; i < kLength; ++i) {
      gradient[i] = factor * std::sin(static_cast<float>(i * i + 7 * step));
      if (finite) life->fed[i] += gradient[i];
    }
    if (!finite) gradient[5] = NAN;
    life->engine->Bind(gradient, absl::MakeSpan(weights_));
    life->engine->BeginGradients(step);
    EncodedBucket encoded;
    life->engine->Encode(0, nullptr, false, [&encoded](EncodedBucket done) { encoded = std::move(done); });
    life->sent.emplace_back(encoded.update.view());
    PushReply reply;
    reply.version = step + 1;
    reply.refused = refused;
    life->engine->Apply(0, reply, encoded.update, [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
    if (!refused && !encoded.update.empty()) {
      ASSERT_TRUE(AddUpdate(encoded.update.view(), absl::MakeSpan(life->counted)).ok());
    }
  }

  // Whatever was counted, and what waits, is what was fed.
  static void ExpectConserved(const Life& life) {
    const std::vector<float> residual = life.engine->State().residual;
    for (uint32_t i = 0; i < kLength; ++i) EXPECT_NEAR(life.counted[i] + residual[i], life.fed[i], 1e-5) << i;
  }

  const std::string folder_ = absl::StrCat(::testing::TempDir(), "/cddp_remade_", getpid());
  const absl::StatusOr<ParameterLayout> layout_ = ParameterLayout::Create({{"w", {kLength}}}, kLength);
  std::vector<float> weights_ = std::vector<float>(kLength);
};

TEST_F(RemadeBucketsTest, TheSameArithmeticSendsTheSame) {
  Life first = Begin(1);
  for (uint64_t step = 1; step <= 5; ++step) Step(step, 1, &first);
  ExpectConserved(first);
  EXPECT_EQ(first.engine->counts().remade, 0u);
  Life second = Begin(1);
  for (uint64_t step = 1; step <= 5; ++step) Step(step, 1, &second);
  EXPECT_EQ(second.sent, first.sent);
  EXPECT_EQ(second.engine->counts().remade, 5u);
  EXPECT_EQ(second.engine->counts().differed, 0u);
  EXPECT_EQ(second.engine->State(), first.engine->State());
}

TEST_F(RemadeBucketsTest, AnotherArithmeticSendsWhatWasCountedAndKeepsTheRest) {
  Life first = Begin(1);
  for (uint64_t step = 1; step <= 5; ++step) Step(step, 1, &first);
  Life second = Begin(1);
  for (uint64_t step = 1; step <= 5; ++step) Step(step, 1.25, &second);
  EXPECT_EQ(second.sent, first.sent) << "the servers have counted that";
  EXPECT_EQ(second.engine->counts().differed, 5u);
  ExpectConserved(second);
  Step(6, 1.25, &second);  // on its own again
  EXPECT_EQ(second.engine->counts().remade, 5u);
  ExpectConserved(second);
}

TEST_F(RemadeBucketsTest, ARefusedStepGoesBack) {
  Life first = Begin(1);
  Step(1, 1, &first, /*refused=*/true);
  Life second = Begin(1);
  Step(1, 1.25, &second, /*refused=*/true);
  EXPECT_EQ(second.engine->counts().differed, 1u);
  ExpectConserved(second);
}

TEST_F(RemadeBucketsTest, AGradientThatIsNotFiniteNowFollowsToo) {
  Life first = Begin(1);
  Step(1, 1, &first);
  Life second = Begin(1);
  Step(1, 1, &second, /*refused=*/false, /*finite=*/false);
  EXPECT_EQ(second.sent, first.sent);
  ExpectConserved(second);
}

}  // namespace
}  // namespace cddp
