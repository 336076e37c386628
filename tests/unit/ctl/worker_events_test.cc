#include "deploy/ctl/worker_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace cddp::ctl {
namespace {

using ::testing::HasSubstr;

// The event, which must be of that type.
template <typename Event>
Event Parse(absl::string_view line) {
  absl::StatusOr<WorkerEvent> event = ParseWorkerEvent(line);
  EXPECT_TRUE(event.ok()) << event.status();
  return std::get<Event>(*event);
}

std::string ErrorOf(absl::string_view line) {
  absl::StatusOr<WorkerEvent> event = ParseWorkerEvent(line);
  EXPECT_FALSE(event.ok()) << line;
  return std::string(event.status().message());
}

TEST(WorkerEventsTest, Listening) {
  const auto event = Parse<ListeningEvent>(R"({"event":"listening","address":"127.0.0.1:1","metrics_address":"a:2"})");
  EXPECT_EQ(event.address, "127.0.0.1:1");
  EXPECT_EQ(event.metrics_address, "a:2");
}

TEST(WorkerEventsTest, Joined) {
  const auto event = Parse<JoinedEvent>(
      R"({"event":"joined","rank":3,"model":"mlp","parameters":1199882,"tensors":8,"buckets":19,"steps_per_epoch":234,
          "something_new":[1]})");
  EXPECT_EQ(event.rank, 3);
  EXPECT_EQ(event.model, "mlp");
  EXPECT_EQ(event.parameters, 1199882u);
  EXPECT_EQ(event.tensors, 8u);
  EXPECT_EQ(event.buckets, 19u);
  EXPECT_EQ(event.steps_per_epoch, 234u);
}

TEST(WorkerEventsTest, Step) {
  const auto event = Parse<StepEvent>(
      R"({"event":"step","rank":0,"epoch":1,"step":10,"loss":0.5,"seconds":{"step":1.2,"compute":0.5,"compress":0.25,
          "exchange":0.125},"pushed_bytes":5000000000,"pulled_bytes":7})");
  EXPECT_EQ(event.epoch, 1);
  EXPECT_EQ(event.step, 10u);
  EXPECT_EQ(event.loss, 0.5);
  EXPECT_EQ(event.seconds.step, 1.2);
  EXPECT_EQ(event.seconds.compute, 0.5);
  EXPECT_EQ(event.seconds.compress, 0.25);
  EXPECT_EQ(event.seconds.exchange, 0.125);
  EXPECT_EQ(event.pushed_bytes, 5'000'000'000u);
  EXPECT_EQ(event.pulled_bytes, 7u);
}

TEST(WorkerEventsTest, EpochSetsTheEvaluationApart) {
  const auto event = Parse<EpochEvent>(
      R"({"event":"epoch","rank":0,"epoch":2,"steps":234,"refused_steps":1,"train_loss":0.25,"test_loss":0.5,
          "test_accuracy":0.975,"seconds":{"total":5,"compute":1,"compress":2,"exchange":0.5,"evaluate":1},
          "pushed_bytes":1,"pulled_bytes":2,"dense_bytes":3})");
  EXPECT_EQ(event.epoch, 2);
  EXPECT_EQ(event.steps, 234u);
  EXPECT_EQ(event.refused_steps, 1u);
  EXPECT_EQ(event.test_accuracy, 0.975);
  EXPECT_EQ(event.seconds.step, 4);
  EXPECT_EQ(event.seconds.evaluate, 1);
  EXPECT_EQ(event.dense_bytes, 3u);
}

TEST(WorkerEventsTest, EpochOfOtherRanksHasNoTest) {
  const auto event = Parse<EpochEvent>(
      R"({"event":"epoch","rank":1,"epoch":2,"steps":234,"train_loss":null,
          "seconds":{"total":5,"compute":1,"compress":2,"exchange":0.5},
          "pushed_bytes":1,"pulled_bytes":2,"dense_bytes":3})");
  EXPECT_TRUE(std::isnan(event.train_loss));  // JSON's way to say NaN
  EXPECT_TRUE(std::isnan(event.test_loss));
  EXPECT_TRUE(std::isnan(event.test_accuracy));
}

TEST(WorkerEventsTest, Done) {
  const auto event = Parse<DoneEvent>(R"({"event":"done","rank":1,"weights_crc32c":"1a2b3c4d","steps":468})");
  EXPECT_EQ(event.weights_crc32c, "1a2b3c4d");
  EXPECT_EQ(event.steps, 468u);
}

TEST(WorkerEventsTest, EventsOfTheFutureAreNoErrors) {
  EXPECT_EQ(Parse<OtherEvent>(R"({"event":"checkpoint","rank":1})").name, "checkpoint");
}

TEST(WorkerEventsTest, BadLines) {
  for (const char* line : {"", "hello", "[1]", "7", "{\"event\":", "{\"event\":\"done\"} x"}) {
    EXPECT_EQ(ErrorOf(line), "not a JSON object") << line;
  }
  EXPECT_EQ(ErrorOf("{}"), "'event' is missing");
  EXPECT_EQ(ErrorOf(R"({"event":1})"), "'event' is not a text");
  EXPECT_EQ(ErrorOf(R"({"event":"done","rank":-1,"weights_crc32c":"0","steps":1})"),
            "'rank' is not a number >= 0 in range");
  EXPECT_EQ(ErrorOf(R"({"event":"done","rank":4294967296,"weights_crc32c":"0","steps":1})"),
            "'rank' is not a number >= 0 in range");
  EXPECT_EQ(ErrorOf(R"({"event":"done","rank":1.5,"weights_crc32c":"0","steps":1})"),
            "'rank' is not a number >= 0 in range");
  EXPECT_EQ(ErrorOf(R"({"event":"done","rank":1,"steps":1})"), "'weights_crc32c' is missing");
  EXPECT_EQ(ErrorOf(R"({"event":"step","rank":0,"epoch":1,"step":1,"loss":"x"})"), "'loss' is not a number");
  EXPECT_EQ(ErrorOf(R"({"event":"step","rank":0,"epoch":1,"step":1,"loss":1,"seconds":2})"),
            "'seconds' is not an object");
  EXPECT_THAT(ErrorOf(R"({"event":"step","rank":0,"epoch":1,"step":1,"loss":1,"seconds":{"step":1}})"),
              HasSubstr("seconds: 'compute' is missing"));
}

}  // namespace
}  // namespace cddp::ctl
