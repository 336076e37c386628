#include "deploy/ctl/cluster_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/unit/ctl/samples.h"

namespace cddp::ctl {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(ClusterPlanTest, ServerFlags) {
  TrainOptions options = SampleOptions(5);
  options.nesterov = true;
  options.weight_decay = 1e-4;
  options.index_encoding = IndexEncoding::kRice;
  EXPECT_THAT(ServerFlags(options, 2),
              ::testing::UnorderedElementsAre("--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--shard=2",
                                              "--shards=3", "--workers=2", "--lr=0.05", "--momentum=0.9",
                                              "--nesterov=true", "--optimizer=sgd", "--consistency=sync", "--quorum=0",
                                              "--max_staleness=4", "--weight_decay=1e-04", "--publish_ratio=0",
                                              "--value_encoding=int4", "--index_encoding=rice", "--progress=json"));
}

TEST(ClusterPlanTest, WorkerFlags) {
  TrainOptions options = SampleOptions(5);
  options.train_examples = 1000;
  EXPECT_THAT(WorkerFlags(options, 1, {"a:1", "b:2", "c:3"}),
              ::testing::UnorderedElementsAre("--rank=1", "--workers=2", "--servers=a:1,b:2,c:3", "--model=simple_cnn",
                                              "--data_dir=data/mnist", "--epochs=5", "--batch_size=64", "--seed=42",
                                              "--ratio=0.01", "--value_encoding=int4", "--index_encoding=gap8",
                                              "--bucket_bytes=0", "--threads=1", "--device=cpu", "--loss=auto",
                                              "--local_steps=1", "--overlap=0", "--train_examples=1000",
                                              "--test_examples=0", "--metrics_listen=127.0.0.1:0", "--progress=json"));
}

TEST(ClusterPlanTest, AGptLearnsTextInThePlaceOfADataSet) {
  TrainOptions options = SampleOptions(5);
  options.model = "gpt";
  EXPECT_THAT(Validate(options).message(), HasSubstr("--data"));
  options.data = "text";
  options.layers = 3;
  EXPECT_TRUE(Validate(options).ok());
  const std::vector<std::string> flags = WorkerFlags(options, 0, {"a:1"});
  EXPECT_THAT(flags, ::testing::IsSupersetOf({"--data=text", "--layers=3", "--dim=128", "--heads=0", "--context=128"}));
  EXPECT_THAT(flags, Not(Contains(StartsWith("--data_dir"))));
}

TEST(ClusterPlanTest, OnlyTheFirstWorkerSavesTheModel) {
  EXPECT_THAT(WorkerFlags(SampleOptions(5), 0, {"a:1"}), Contains("--model_output=out/model.pt"));
  EXPECT_THAT(WorkerFlags(SampleOptions(5), 1, {"a:1"}), Not(Contains(StartsWith("--model_output"))));
}

TEST(ClusterPlanTest, EveryWorkerTracesToAFileOfItsOwn) {
  TrainOptions options = SampleOptions(5);
  EXPECT_THAT(WorkerFlags(options, 1, {"a:1"}), Not(Contains(StartsWith("--trace"))));
  options.trace = true;
  EXPECT_THAT(WorkerFlags(options, 1, {"a:1"}), Contains("--trace=out/trace-1.json"));
}

TEST(ClusterPlanTest, ADurableRunKeepsItsStateInTheOutputFolder) {
  TrainOptions options = SampleOptions(5);
  EXPECT_THAT(ServerFlags(options, 1), Not(Contains(StartsWith("--state_dir"))));
  EXPECT_THAT(WorkerFlags(options, 1, {"a:1"}), Not(Contains(StartsWith("--checkpoint"))));
  options.durable = true;
  EXPECT_THAT(ServerFlags(options, 1), Contains("--state_dir=out/state-1"));
  EXPECT_THAT(WorkerFlags(options, 1, {"a:1"}), Contains("--checkpoint_dir=out/checkpoints"));
  for (const auto& [compress, every] : {std::pair{true, 50}, std::pair{false, 10}}) {
    options.compress = compress;
    EXPECT_THAT(WorkerFlags(options, 1, {"a:1"}), Contains(absl::StrCat("--checkpoint_every=", every)));
    EXPECT_THAT(ServerFlags(options, 1), Contains(absl::StrCat("--log_versions=", 3 * every)));
  }
  options.checkpoint_every = 7;
  EXPECT_THAT(WorkerFlags(options, 1, {"a:1"}), Contains("--checkpoint_every=7"));
}

TEST(ClusterPlanTest, WithoutCompressionEverythingTravelsAsFp32) {
  TrainOptions options = SampleOptions(5);
  options.compress = false;
  EXPECT_THAT(ServerFlags(options, 0), Contains("--publish_ratio=1"));
  EXPECT_THAT(ServerFlags(options, 0), Contains("--value_encoding=fp32"));
  EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}), Contains("--ratio=1"));
  EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}), Contains("--value_encoding=fp32"));
}

TEST(ClusterPlanTest, AdamGoesToTheWorkersAndTheServersAverage) {
  TrainOptions options = SampleOptions(5);
  options.optimizer = "adamw";
  options.lr = options.ratio = 0;
  options.local_steps = 0;
  options.weight_decay = 0.5;
  options.workers = 4;
  options.optimizer_flags = {"--beta2=0.95"};
  EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}),
              ::testing::IsSupersetOf({"--optimizer=adamw", "--lr=0.002", "--weight_decay=0.5", "--beta2=0.95",
                                       "--local_steps=4", "--ratio=0.1"}));
  EXPECT_THAT(ServerFlags(options, 0), ::testing::IsSupersetOf({"--optimizer=sgd", "--lr=1", "--momentum=0"}));
  EXPECT_THAT(ServerFlags(options, 0), Not(Contains("--beta2=0.95")));
  options.outer_lr = 0.7;
  options.outer_momentum = 0.9;
  options.outer_nesterov = true;
  EXPECT_THAT(ServerFlags(options, 0), ::testing::IsSupersetOf({"--lr=0.7", "--momentum=0.9", "--nesterov=true"}));
}

TEST(ClusterPlanTest, WhereEveryElementTravelsTheServersMayHaveAdam) {
  for (const auto& [compress, ratio] : {std::pair{false, 0.01}, std::pair{true, 1.0}}) {
    TrainOptions options = SampleOptions(5);
    options.optimizer = "adam";
    options.compress = compress;
    options.ratio = ratio;
    EXPECT_THAT(ServerFlags(options, 0), ::testing::IsSupersetOf({"--optimizer=adam", "--lr=0.05"}));
    EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}), Not(Contains(StartsWith("--optimizer"))));
    EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}), Contains("--local_steps=1"));
    options.local_steps = 4;
    EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}), Contains("--optimizer=adam"));
  }
}

TEST(ClusterPlanTest, SgdStaysAtTheServersUnlessWorkersStepAlone) {
  TrainOptions options = SampleOptions(5);
  options.local_steps = 8;
  EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}),
              ::testing::IsSupersetOf({"--optimizer=sgd", "--lr=0.05", "--momentum=0.9", "--ratio=0.01"}));
  EXPECT_THAT(ServerFlags(options, 0), ::testing::IsSupersetOf({"--lr=1", "--momentum=0"}));
}

TEST(ClusterPlanTest, PublishRatioOfItsOwn) {
  TrainOptions options = SampleOptions(5);
  options.publish_ratio = 0.05;
  EXPECT_THAT(ServerFlags(options, 0), Contains("--publish_ratio=0.05"));
  EXPECT_THAT(WorkerFlags(options, 0, {"a:1"}), Contains("--ratio=0.01"));
}

TEST(ClusterPlanTest, ValidateNamesTheFlag) {
  EXPECT_TRUE(Validate(SampleOptions(1)).ok());
  struct Case {
    const char* expected;
    std::function<void(TrainOptions*)> change;
  };
  const Case cases[] = {
      {"--workers=0", [](TrainOptions* o) { o->workers = 0; }},
      {"--workers=100000", [](TrainOptions* o) { o->workers = 100000; }},
      {"--servers=-1", [](TrainOptions* o) { o->servers = -1; }},
      {"--epochs=0", [](TrainOptions* o) { o->epochs = 0; }},
      {"--batch_size=0", [](TrainOptions* o) { o->batch_size = 0; }},
      {"--lr=-1", [](TrainOptions* o) { o->lr = -1; }},
      {"--lr=nan", [](TrainOptions* o) { o->lr = NAN; }},
      {"--lr=inf", [](TrainOptions* o) { o->lr = INFINITY; }},
      {"--momentum=1", [](TrainOptions* o) { o->momentum = 1; }},
      {"--weight_decay=-1", [](TrainOptions* o) { o->weight_decay = -1; }},
      {"--ratio=-1", [](TrainOptions* o) { o->ratio = -1; }},
      {"--ratio=1.5", [](TrainOptions* o) { o->ratio = 1.5; }},
      {"--ratio=nan", [](TrainOptions* o) { o->ratio = NAN; }},
      {"--publish_ratio=2", [](TrainOptions* o) { o->publish_ratio = 2; }},
      {"--optimizer=rmsprop", [](TrainOptions* o) { o->optimizer = "rmsprop"; }},
      {"--optimizer_at=home", [](TrainOptions* o) { o->optimizer_at = "home"; }},
      {"needs the optimizer at the workers", [](TrainOptions* o) { o->optimizer_at = "servers", o->local_steps = 4; }},
      {"--local_steps=auto needs the optimizer at the workers",
       [](TrainOptions* o) { o->optimizer_at = "servers", o->changing_steps.kind = StepsChoice::Kind::kAuto; }},
      {"--local_steps=auto needs --consistency=sync",
       [](TrainOptions* o) { o->consistency = "async", o->changing_steps.kind = StepsChoice::Kind::kAuto; }},
      {"--overlap needs the optimizer at the workers", [](TrainOptions* o) { o->overlap = 1; }},
      {"--overlap has no effect with --consistency=stale",
       [](TrainOptions* o) { o->overlap = 1, o->optimizer = "adamw", o->consistency = "stale"; }},
      {"adam on the servers loses", [](TrainOptions* o) { o->optimizer_at = "servers", o->optimizer = "adam"; }},
      {"--outer_lr", [](TrainOptions* o) { o->outer_momentum = 0.9; }},
      {"--outer_momentum=1", [](TrainOptions* o) { o->optimizer = "adam", o->outer_momentum = 1; }},
      {"--overlap=-1", [](TrainOptions* o) { o->overlap = -1; }},
      {"--bucket_bytes=-1", [](TrainOptions* o) { o->bucket_bytes = -1; }},
      {"--train_examples=-1", [](TrainOptions* o) { o->train_examples = -1; }},
      {"--threads=-1", [](TrainOptions* o) { o->threads = -1; }},
      {"--model='a b'", [](TrainOptions* o) { o->model = "a b"; }},
      {"--model=''", [](TrainOptions* o) { o->model = ""; }},
      {"--dataset='a b'", [](TrainOptions* o) { o->dataset = "a b"; }},
      {"--nesterov", [](TrainOptions* o) { o->nesterov = true, o->momentum = 0; }},
  };
  for (const Case& c : cases) {
    TrainOptions options = SampleOptions(1);
    c.change(&options);
    const absl::Status status = Validate(options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.expected;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.expected));
  }
}

}  // namespace
}  // namespace cddp::ctl
