#include "deploy/ctl/worker_events.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "absl/strings/str_cat.h"

namespace cddp::ctl {
namespace {

using Json = nlohmann::json;

// Reads members of one object; keeps the first error.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {}

  // Leaves *value unchanged and notes an error if the member is missing or of another type.
  template <typename T>
  void Read(const char* name, T* value) {
    const auto member = object_.find(name);
    if (member == object_.end()) {
      Fail(absl::StrCat("'", name, "' is missing"));
    } else {
      Convert(name, *member, value);
    }
  }

  template <typename T>
  void ReadOptional(const char* name, T* value) {
    if (const auto member = object_.find(name); member != object_.end()) Convert(name, *member, value);
  }

  // seconds->step receives the member called `wall`.
  void ReadSeconds(const char* wall, PhaseSeconds* seconds) {
    const auto member = object_.find("seconds");
    if (member == object_.end() || !member->is_object()) return Fail("'seconds' is not an object");
    Reader inner(*member);
    inner.Read(wall, &seconds->step);
    inner.Read("compute", &seconds->compute);
    inner.Read("compress", &seconds->compress);
    inner.Read("exchange", &seconds->exchange);
    inner.ReadOptional("evaluate", &seconds->evaluate);
    if (!inner.error_.empty()) Fail(absl::StrCat("seconds: ", inner.error_));
  }

  template <typename Event>
  absl::StatusOr<WorkerEvent> Finish(Event event) const {
    if (!error_.empty()) return absl::InvalidArgumentError(error_);
    return event;
  }

 private:
  template <typename T>
  void Convert(const char* name, const Json& json, T* value) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (!json.is_string()) return Fail(absl::StrCat("'", name, "' is not a text"));
      *value = json.get<std::string>();
    } else if constexpr (std::is_floating_point_v<T>) {
      // JSON has no NaN: writers put null.
      if (!json.is_number() && !json.is_null()) return Fail(absl::StrCat("'", name, "' is not a number"));
      *value = json.is_null() ? std::numeric_limits<T>::quiet_NaN() : json.get<T>();
    } else {
      if (!json.is_number_unsigned() || json.get<uint64_t>() > uint64_t{std::numeric_limits<T>::max()}) {
        return Fail(absl::StrCat("'", name, "' is not a number >= 0 in range"));
      }
      *value = json.get<T>();
    }
  }

  void Fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
  }

  const Json& object_;
  std::string error_;
};

}  // namespace

absl::StatusOr<WorkerEvent> ParseWorkerEvent(absl::string_view line) {
  const Json json = Json::parse(line.begin(), line.end(), /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object");
  Reader reader(json);
  std::string name;
  reader.Read("event", &name);
  if (name == "listening") {
    ListeningEvent event;
    reader.Read("address", &event.address);
    reader.ReadOptional("metrics_address", &event.metrics_address);
    return reader.Finish(event);
  }
  if (name == "joined") {
    JoinedEvent event;
    reader.Read("rank", &event.rank);
    reader.Read("model", &event.model);
    reader.Read("parameters", &event.parameters);
    reader.Read("tensors", &event.tensors);
    reader.Read("buckets", &event.buckets);
    reader.Read("steps_per_epoch", &event.steps_per_epoch);
    reader.ReadOptional("libtorch", &event.libtorch);
    return reader.Finish(event);
  }
  if (name == "step") {
    StepEvent event;
    reader.Read("rank", &event.rank);
    reader.Read("epoch", &event.epoch);
    reader.Read("step", &event.step);
    reader.Read("loss", &event.loss);
    reader.ReadSeconds("step", &event.seconds);
    reader.Read("pushed_bytes", &event.pushed_bytes);
    reader.Read("pulled_bytes", &event.pulled_bytes);
    return reader.Finish(event);
  }
  if (name == "epoch") {
    EpochEvent event;
    event.test_loss = event.test_accuracy = std::numeric_limits<double>::quiet_NaN();
    reader.Read("rank", &event.rank);
    reader.Read("epoch", &event.epoch);
    reader.Read("steps", &event.steps);
    reader.ReadOptional("refused_steps", &event.refused_steps);
    reader.Read("train_loss", &event.train_loss);
    reader.ReadOptional("test_loss", &event.test_loss);
    reader.ReadOptional("test_accuracy", &event.test_accuracy);
    reader.ReadSeconds("total", &event.seconds);
    event.seconds.step -= event.seconds.evaluate;
    reader.Read("pushed_bytes", &event.pushed_bytes);
    reader.Read("pulled_bytes", &event.pulled_bytes);
    reader.Read("dense_bytes", &event.dense_bytes);
    return reader.Finish(event);
  }
  if (name == "ratio") {
    RatioEvent event;
    reader.Read("rank", &event.rank);
    reader.Read("step", &event.step);
    reader.Read("ratio", &event.ratio);
    reader.Read("value_encoding", &event.value_encoding);
    return reader.Finish(event);
  }
  if (name == "local_steps") {
    LocalStepsEvent event;
    reader.Read("rank", &event.rank);
    reader.Read("exchange", &event.exchange);
    reader.Read("local_steps", &event.local_steps);
    return reader.Finish(event);
  }
  if (name == "done") {
    DoneEvent event;
    reader.Read("rank", &event.rank);
    reader.Read("weights_crc32c", &event.weights_crc32c);
    reader.Read("steps", &event.steps);
    return reader.Finish(event);
  }
  return reader.Finish(OtherEvent{name});
}

}  // namespace cddp::ctl
