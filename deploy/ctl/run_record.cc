#include "deploy/ctl/run_record.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace cddp::ctl {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const Json& Member(const Json& object, const char* name) {
  static const Json& none = *new Json();
  const auto member = object.is_object() ? object.find(name) : object.end();
  return member == object.end() ? none : *member;
}

double Number(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_number() ? member.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

double NumberOrZero(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_number() ? member.get<double>() : 0;
}

// 0 for a value that is no number within T's range.
template <typename T>
T CountOf(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  const bool fits = member.is_number_unsigned() && member.get<uint64_t>() <= uint64_t{std::numeric_limits<T>::max()};
  return fits ? member.get<T>() : 0;
}

std::string Text(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_string() ? member.get<std::string>() : "";
}

std::string Shown(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void ReadEpochs(const Json& report, RunRecord* run) {
  double ended = 0;
  for (const Json& epoch : Member(report, "epochs")) {
    ended += NumberOrZero(epoch, "seconds");
    run->epochs.push_back({CountOf<int>(epoch, "epoch"), ended, Number(epoch, "train_loss"), Number(epoch, "test_loss"),
                           Number(epoch, "test_accuracy")});
  }
}

// A report of `cddp run` has the exchanges, and little else.
void ReadScriptRun(const Json& report, RunRecord* run) {
  const Json& command = Member(report, "command");
  std::string words;
  for (const Json& word : command) absl::StrAppend(&words, words.empty() ? "" : " ", Shown(word));
  run->configuration = {{"command", words}};
  for (const char* name : {"workers", "servers"}) run->configuration[name] = Shown(Member(report, name));
  run->parameters = CountOf<uint64_t>(report, "parameters");
  const double exchanges = std::max(1.0, NumberOrZero(report, "version") - 1);
  run->pushed_bytes = NumberOrZero(report, "pushed_bytes") / exchanges;
  run->pulled_bytes = NumberOrZero(report, "pulled_bytes") / exchanges;
}

void ReadTraining(const Json& report, RunRecord* run) {
  for (const auto& [name, value] : Member(report, "configuration").items()) run->configuration[name] = Shown(value);
  ReadEpochs(report, run);
  const Json& step = Member(report, "step_ms");
  run->step_ms = NumberOrZero(step, "total");
  run->compute_ms = NumberOrZero(step, "compute");
  run->compress_ms = NumberOrZero(step, "compress");
  run->exchange_ms = NumberOrZero(step, "exchange");
  const double steps = std::max(1.0, NumberOrZero(report, "steps"));
  run->pushed_bytes = NumberOrZero(report, "pushed_bytes") / steps;
  run->pulled_bytes = NumberOrZero(report, "pulled_bytes") / steps;
  run->dense_bytes = NumberOrZero(report, "dense_bytes") / steps;
  run->parameters = CountOf<uint64_t>(Member(report, "model"), "parameters");
  run->weights_crc32c = Text(report, "weights_crc32c");
}

}  // namespace

absl::StatusOr<RunRecord> ReadRun(const std::string& folder) {
  std::error_code error;
  const fs::path path = fs::is_directory(folder, error) ? fs::path(folder) / "report.json" : fs::path(folder);
  std::ifstream file(path);
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": there is no report of a run (", path.string(), "): name folders of cddp train"));
  }
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const Json report = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  RunRecord run;
  run.state = Text(report, "state");
  if (run.state.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": is not the report of a run, or damaged"));
  }
  run.name = fs::absolute(path, error).lexically_normal().parent_path().filename().string();
  run.error = Text(report, "error");
  run.seconds = NumberOrZero(report, "seconds");
  if (Member(report, "command").is_array()) {
    ReadScriptRun(report, &run);
  } else {
    ReadTraining(report, &run);
  }
  return run;
}

}  // namespace cddp::ctl
