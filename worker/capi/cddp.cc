// The functions of include/cddp/cddp.h over worker/client.

#include "cddp/cddp.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/log/log.h"
#include "worker/capi/error.h"
#include "worker/capi/sized_struct.h"
#include "worker/client/client.h"
#include "worker/client/client_settings.h"

struct cddp_options {
  cddp::ClientOptions options;
};

struct cddp_client {
  std::unique_ptr<cddp::Client> client;
};

namespace cddp::capi {
namespace {

// Sizes of version 1.0, the smallest that a program may have.
constexpr uint32_t kTensorBytes = 40;
constexpr uint32_t kMemoryBytes = 24;
constexpr uint32_t kStepOptionsBytes = 32;
constexpr uint32_t kResultBytes = 80;
constexpr uint32_t kStatisticsBytes = 128;
static_assert(sizeof(cddp_tensor) == kTensorBytes && sizeof(cddp_memory) == kMemoryBytes &&
              sizeof(cddp_step_options) == kStepOptionsBytes && sizeof(cddp_result) == kResultBytes &&
              offsetof(cddp_statistics, round_steps) == kStatisticsBytes);

constexpr uint32_t kMostDimensions = 64;

absl::Status CheckGiven(const void* argument, const char* name) {
  if (argument != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " is null"));
}

// Calls `call` with the client, if it is of this process.
template <typename Call>
cddp_code WithClient(cddp_client* client, Call&& call) {
  return Guard([&]() -> absl::Status {
    if (absl::Status status = CheckGiven(client, "client"); !status.ok()) return status;
    if (!client->client->IsOfThisProcess()) {
      return absl::FailedPreconditionError(
          "this client joined before the process forked, and works in the parent only: join after fork, or start a new "
          "program (exec; in Python the start method 'spawn')");
    }
    return call(*client->client);
  });
}

absl::StatusOr<ClientTensor> ReadTensor(const cddp_tensor* given, size_t index) {
  const std::string which = absl::StrCat("tensor ", index);
  absl::StatusOr<cddp_tensor> read = ReadStruct(given, kTensorBytes, which.c_str());
  if (!read.ok()) return read.status();
  if (read->name == nullptr || *read->name == '\0') {
    return absl::InvalidArgumentError(absl::StrCat(which, " has no name"));
  }
  const std::string named = absl::StrCat(which, " ('", read->name, "')");
  if (read->kind > CDDP_COUNTER) {
    return absl::UnimplementedError(
        absl::StrCat(named, " has kind ", read->kind, ": CDDP_PARAMETER, CDDP_BUFFER and CDDP_COUNTER are known"));
  }
  const bool is_counter = read->kind == CDDP_COUNTER;
  if (read->type != (is_counter ? CDDP_INT64 : CDDP_FLOAT32)) {
    return absl::UnimplementedError(absl::StrCat(named, " has type ", read->type,
                                                 ": counters are CDDP_INT64 (1), other tensors are CDDP_FLOAT32 (0)"));
  }
  if (read->dimensions > kMostDimensions || (read->dimensions > 0 && read->shape == nullptr)) {
    return absl::InvalidArgumentError(
        absl::StrCat(named, " has ", read->dimensions, " dimensions", read->shape == nullptr ? " and no shape" : ""));
  }
  ClientTensor tensor;
  tensor.spec.name = read->name;
  tensor.spec.shape.assign(read->shape, read->shape + read->dimensions);
  tensor.spec.kind = is_counter                  ? TensorKind::kCounter
                     : read->kind == CDDP_BUFFER ? TensorKind::kBuffer
                                                 : TensorKind::kParameter;
  if (is_counter) {
    tensor.counter = static_cast<int64_t*>(read->data);
  } else {
    tensor.data = static_cast<float*>(read->data);
  }
  return tensor;
}

// The program's struct_size is the distance between the tensors.
absl::StatusOr<std::vector<ClientTensor>> ReadTensors(const cddp_tensor* tensors, size_t count) {
  if (count == 0) return absl::InvalidArgumentError("there are no tensors");
  if (absl::Status status = CheckGiven(tensors, "tensors"); !status.ok()) return status;
  const absl::StatusOr<uint32_t> size = SizeOf(tensors, kTensorBytes, "tensor 0");
  if (!size.ok()) return size.status();
  std::vector<ClientTensor> read;
  for (size_t i = 0; i < count; ++i) {
    const auto* at = reinterpret_cast<const char*>(tensors) + i * *size;
    absl::StatusOr<ClientTensor> tensor = ReadTensor(reinterpret_cast<const cddp_tensor*>(at), i);
    if (!tensor.ok()) return tensor.status();
    read.push_back(*std::move(tensor));
  }
  return read;
}

absl::StatusOr<ClientMemory> ReadMemory(const cddp_memory* memory) {
  if (memory == nullptr) return ClientMemory{};
  const absl::StatusOr<cddp_memory> read = ReadStruct(memory, kMemoryBytes, "memory");
  if (!read.ok()) return read.status();
  if (read->kind == CDDP_HOST) return ClientMemory{};
  if (read->kind == CDDP_CUDA) return ClientMemory{true, read->device, read->stream};
  return absl::UnimplementedError(absl::StrCat("memory has kind ", read->kind, ": CDDP_HOST (", CDDP_HOST,
                                               ") and CDDP_CUDA (", CDDP_CUDA, ") are known"));
}

absl::StatusOr<StepInput> ReadStepOptions(const cddp_step_options* options) {
  if (options == nullptr) return StepInput{};
  const absl::StatusOr<cddp_step_options> read = ReadStruct(options, kStepOptionsBytes, "step options");
  if (!read.ok()) return read.status();
  constexpr uint32_t kKnown = CDDP_STEP_NOT_FINITE | CDDP_STEP_EMPTY;
  if ((read->flags & ~kKnown) != 0) {
    return absl::UnimplementedError(
        absl::StrCat("step options have flags ", read->flags, ": CDDP_STEP_NOT_FINITE and CDDP_STEP_EMPTY are known"));
  }
  StepInput input;
  if (read->weight != 0) input.weight = static_cast<float>(read->weight);
  if ((read->flags & CDDP_STEP_EMPTY) != 0) input.weight = 0.0f;
  input.not_finite = (read->flags & CDDP_STEP_NOT_FINITE) != 0;
  input.loss = read->loss;
  input.gradients = read->gradients;
  return input;
}

// Checks before a step that its result can be returned afterwards.
absl::StatusOr<uint32_t> CheckResult(const cddp_result* result) {
  return result == nullptr ? absl::StatusOr<uint32_t>(0) : SizeOf(result, kResultBytes, "result");
}

void WriteResult(const StepResult& step, uint32_t size, cddp_result* result) {
  if (result == nullptr) return;
  cddp_result value = CDDP_RESULT_INIT;
  value.exchanged = step.exchanged ? 1 : 0;
  value.refused = step.traffic.refused ? 1 : 0;
  value.replaced = step.traffic.replaced;
  value.step = step.step;
  value.missed = step.traffic.missed;
  value.pushed_bytes = step.traffic.pushed_bytes;
  value.pulled_bytes = step.traffic.pulled_bytes;
  value.pushed_elements = step.traffic.selected;
  value.residual_norm = step.traffic.residual_norm;
  value.compress_seconds = step.traffic.compress_seconds;
  value.wait_seconds = step.traffic.exchange_seconds;
  WriteStruct(value, size, result);
}

// Writes a text or bytes to the program's memory; *size is set in any case.
absl::Status Copy(absl::string_view bytes, void* to, size_t capacity, size_t needed) {
  if (capacity < needed) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the buffer has ", capacity, " bytes, but ", needed, " are needed"));
  }
  if (absl::Status status = CheckGiven(to, "the buffer"); !status.ok()) return status;
  std::memcpy(to, bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status SetFromVariable(const std::string& variable, const char* option, ClientOptions* options) {
  const char* value = std::getenv(variable.c_str());
  if (value == nullptr || *value == '\0') return absl::OkStatus();
  absl::Status status = SetClientOption(option, value, options);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("environment variable ", variable, ": ", status.message()));
}

}  // namespace
}  // namespace cddp::capi

using cddp::capi::CheckGiven;
using cddp::capi::Guard;
using cddp::capi::WithClient;

uint32_t cddp_version(void) { return CDDP_VERSION_MAJOR * 1000 + CDDP_VERSION_MINOR; }

void cddp_set_log(cddp_log_callback callback, void* context, cddp_log_level least) {
  if (callback == nullptr) return cddp::SetLogSink(nullptr);
  cddp::SetLogSink([callback, context, least](cddp::LogLevel level, absl::string_view line) {
    if (static_cast<int>(level) < static_cast<int>(least)) return;
    callback(context, static_cast<cddp_log_level>(level), std::string(line).c_str());
  });
}

cddp_code cddp_options_create(cddp_options** options) {
  return Guard([&]() -> absl::Status {
    if (absl::Status status = CheckGiven(options, "options"); !status.ok()) return status;
    *options = nullptr;
    *options = new cddp_options;
    return absl::OkStatus();
  });
}

void cddp_options_destroy(cddp_options* options) { delete options; }

cddp_code cddp_options_set(cddp_options* options, const char* name, const char* value) {
  return Guard([&]() -> absl::Status {
    absl::Status status = CheckGiven(options, "options");
    status.Update(CheckGiven(name, "name"));
    status.Update(CheckGiven(value, "value"));
    if (!status.ok()) return status;
    return cddp::SetClientOption(name, value, &options->options);
  });
}

cddp_code cddp_options_get(const cddp_options* options, const char* name, char* value, size_t capacity,
                           size_t* length) {
  return Guard([&]() -> absl::Status {
    absl::Status status = CheckGiven(options, "options");
    status.Update(CheckGiven(name, "name"));
    if (!status.ok()) return status;
    const absl::StatusOr<std::string> text = cddp::GetClientOption(name, options->options);
    if (!text.ok()) return text.status();
    if (length != nullptr) *length = text->size();
    return cddp::capi::Copy({text->c_str(), text->size() + 1}, value, capacity, text->size() + 1);
  });
}

cddp_code cddp_options_agree(cddp_options* options, const char* name, const char* value) {
  return Guard([&]() -> absl::Status {
    absl::Status status = CheckGiven(options, "options");
    status.Update(CheckGiven(name, "name"));
    status.Update(CheckGiven(value, "value"));
    if (!status.ok()) return status;
    return cddp::AddFact(name, value, &options->options);
  });
}

cddp_code cddp_options_read_environment(cddp_options* options) {
  return Guard([&]() -> absl::Status {
    if (absl::Status status = CheckGiven(options, "options"); !status.ok()) return status;
    cddp::ClientOptions read = options->options;
    // Our variables come after those of torchrun and others, so that they override these.
    absl::Status status = cddp::capi::SetFromVariable("RANK", "rank", &read);
    if (status.ok()) status = cddp::capi::SetFromVariable("WORLD_SIZE", "workers", &read);
    for (const cddp::ClientOptionHelp& option : cddp::ClientOptionNames()) {
      if (!status.ok()) return status;
      const std::string variable = absl::StrCat("CDDP_", absl::AsciiStrToUpper(option.name));
      status = cddp::capi::SetFromVariable(variable, option.name, &read);
    }
    if (status.ok()) options->options = std::move(read);
    return status;
  });
}

const char* cddp_option_name(size_t index) {
  const auto names = cddp::ClientOptionNames();
  return index < names.size() ? names[index].name : nullptr;
}

const char* cddp_option_help(size_t index) {
  const auto names = cddp::ClientOptionNames();
  return index < names.size() ? names[index].help : nullptr;
}

cddp_code cddp_join(const cddp_options* options, const cddp_tensor* tensors, size_t tensor_count,
                    const cddp_memory* memory, cddp_client** client) {
  return Guard([&]() -> absl::Status {
    absl::Status status = CheckGiven(client, "client");
    if (!status.ok()) return status;
    *client = nullptr;
    status = CheckGiven(options, "options");
    if (!status.ok()) return status;
    const absl::StatusOr<cddp::ClientMemory> where = cddp::capi::ReadMemory(memory);
    if (!where.ok()) return where.status();
    absl::StatusOr<std::vector<cddp::ClientTensor>> read = cddp::capi::ReadTensors(tensors, tensor_count);
    if (!read.ok()) return read.status();
    absl::StatusOr<std::unique_ptr<cddp::Client>> joined =
        cddp::Client::Join(options->options, *std::move(read), *where);
    if (!joined.ok()) return joined.status();
    *client = new cddp_client{*std::move(joined)};
    return absl::OkStatus();
  });
}

cddp_code cddp_start(cddp_client* client) {
  return WithClient(client, [](cddp::Client& c) { return c.Start(); });
}

cddp_code cddp_restore(cddp_client* client, const void* state, size_t size) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    if (absl::Status status = CheckGiven(state, "state"); !status.ok()) return status;
    return c.Restore({static_cast<const char*>(state), size});
  });
}

cddp_code cddp_leave(cddp_client* client, int finished) {
  return WithClient(client, [&](cddp::Client& c) { return c.Leave(finished != 0); });
}

void cddp_destroy(cddp_client* client) {
  // In a forked child the client's threads do not exist, and its locks may be held.
  if (client == nullptr || !client->client->IsOfThisProcess()) return;
  delete client;
}

cddp_code cddp_begin(cddp_client* client, const cddp_step_options* options) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    const absl::StatusOr<cddp::StepInput> input = cddp::capi::ReadStepOptions(options);
    if (!input.ok()) return input.status();
    return c.Begin(*input);
  });
}

cddp_code cddp_ready(cddp_client* client, size_t tensor, const float* gradient) {
  return WithClient(client, [&](cddp::Client& c) { return c.Ready(tensor, gradient); });
}

cddp_code cddp_wait(cddp_client* client, double seconds) {
  return WithClient(client, [&](cddp::Client& c) { return c.Wait(absl::Seconds(seconds)); });
}

cddp_code cddp_finish(cddp_client* client, cddp_result* result) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    const absl::StatusOr<uint32_t> size = cddp::capi::CheckResult(result);
    if (!size.ok()) return size.status();
    const absl::StatusOr<cddp::StepResult> step = c.Finish();
    if (!step.ok()) return step.status();
    cddp::capi::WriteResult(*step, *size, result);
    return absl::OkStatus();
  });
}

cddp_code cddp_cancel(cddp_client* client) {
  return WithClient(client, [](cddp::Client& c) {
    c.Cancel();
    return absl::OkStatus();
  });
}

cddp_code cddp_step(cddp_client* client, const cddp_step_options* options, cddp_result* result) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    const absl::StatusOr<cddp::StepInput> input = cddp::capi::ReadStepOptions(options);
    if (!input.ok()) return input.status();
    const absl::StatusOr<uint32_t> size = cddp::capi::CheckResult(result);
    if (!size.ok()) return size.status();
    const absl::StatusOr<cddp::StepResult> step = c.Step(*input);
    if (!step.ok()) return step.status();
    cddp::capi::WriteResult(*step, *size, result);
    return absl::OkStatus();
  });
}

cddp_code cddp_note_step(cddp_client* client, int* due) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    if (absl::Status status = CheckGiven(due, "due"); !status.ok()) return status;
    const absl::StatusOr<bool> is_due = c.NoteStep();
    if (!is_due.ok()) return is_due.status();
    *due = *is_due ? 1 : 0;
    return absl::OkStatus();
  });
}

cddp_code cddp_state_size(cddp_client* client, size_t* size) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    if (absl::Status status = CheckGiven(size, "size"); !status.ok()) return status;
    const absl::StatusOr<std::string> state = c.State();
    if (!state.ok()) return state.status();
    *size = state->size();
    return absl::OkStatus();
  });
}

cddp_code cddp_save_state(cddp_client* client, void* state, size_t capacity, size_t* size) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    const absl::StatusOr<std::string> bytes = c.State();
    if (!bytes.ok()) return bytes.status();
    if (size != nullptr) *size = bytes->size();
    return cddp::capi::Copy(*bytes, state, capacity, bytes->size());
  });
}

cddp_code cddp_get_statistics(cddp_client* client, cddp_statistics* statistics) {
  return WithClient(client, [&](cddp::Client& c) -> absl::Status {
    if (absl::Status status = CheckGiven(statistics, "statistics"); !status.ok()) return status;
    const absl::StatusOr<uint32_t> size = cddp::capi::SizeOf(statistics, cddp::capi::kStatisticsBytes, "statistics");
    if (!size.ok()) return size.status();
    const cddp::ClientStatistics now = c.Statistics();
    cddp_statistics value = CDDP_STATISTICS_INIT;
    value.rank = c.options().rank.value_or(0);
    value.workers = c.options().cluster.worker_count;
    value.servers = static_cast<uint32_t>(c.options().servers.size());
    value.buckets = c.layout().bucket_count();
    value.in_place = c.in_place() ? 1 : 0;
    value.elements = c.layout().total_elements();
    value.step = now.step;
    value.local_steps = now.local_steps;
    value.version_at_join = now.version_at_join;
    value.exchanges = now.exchanges;
    value.refused = now.refused;
    value.missed = now.missed;
    value.pushed_bytes = now.pushed_bytes;
    value.pulled_bytes = now.pulled_bytes;
    value.retries = now.retries;
    value.compress_seconds = now.compress_seconds;
    value.wait_seconds = now.wait_seconds;
    value.residual_norm = now.residual_norm;
    value.round_steps = now.round_steps;
    value.under_way = now.under_way ? 1 : 0;
    cddp::capi::WriteStruct(value, *size, statistics);
    return absl::OkStatus();
  });
}
