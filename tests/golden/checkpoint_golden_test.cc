// Worker checkpoints.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/golden/golden_file.h"
#include "worker/checkpoint/checkpoint.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;

constexpr char kName[] = "worker.checkpoint";

// Every field has another value, so that none can be taken for another.
WorkerCheckpoint Sample() {
  WorkerCheckpoint checkpoint;
  checkpoint.fingerprint = 0x0123456789abcdef;
  checkpoint.run = "a-run";
  checkpoint.arithmetic = "device=cpu threads=3";
  checkpoint.flags = "--model=mlp --seed=42";
  checkpoint.exchange = {17, {18, 19}, {0.01, {1.5f, -2, 0x1p-149f}, {0.5f, 0, 3}, {0.25f, 0}}};
  checkpoint.weights = {7, -0.0f, 9};
  checkpoint.model = std::string("mo\0del", 6);
  checkpoint.optimizer = "optimizer";
  checkpoint.totals = "totals";
  return checkpoint;
}

TEST(CheckpointGoldenTest, IsReadAndWrittenAsBefore) {
  std::string bytes;
  ASSERT_TRUE(Append(Sample(), [&bytes](absl::string_view part) {
                bytes.append(part.data(), part.size());
                return absl::OkStatus();
              }).ok());
  ExpectGolden(kName, bytes);

  const absl::StatusOr<WorkerCheckpoint> read = ParseCheckpoint(ReadGolden(kName), kName);
  ASSERT_TRUE(read.ok()) << read.status();
  const WorkerCheckpoint sample = Sample();
  EXPECT_EQ(read->fingerprint, sample.fingerprint);
  EXPECT_EQ(read->run, sample.run);
  EXPECT_EQ(read->arithmetic, sample.arithmetic);
  EXPECT_EQ(read->flags, sample.flags);
  EXPECT_EQ(read->exchange.step, 17u);
  EXPECT_THAT(read->exchange.versions, ElementsAre(18, 19));
  EXPECT_EQ(read->exchange.engine, sample.exchange.engine);
  EXPECT_THAT(read->weights, ElementsAre(7, -0.0f, 9));
  EXPECT_TRUE(std::signbit(read->weights[1]));
  EXPECT_EQ(read->model, sample.model);
  EXPECT_EQ(read->optimizer, sample.optimizer);
  EXPECT_EQ(read->totals, sample.totals);
}

}  // namespace
}  // namespace cddp
