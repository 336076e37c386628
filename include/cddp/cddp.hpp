// Compressed-DDP for C++: the C library (cddp.h) with objects and exceptions. Header-only, C++17.
//
//   cddp::Client client(cddp::Options().ReadEnvironment().Set("ratio", "0.1"), {{"weights", {4}, weights}});
//   client.Start();
//   for each step: client.Begin(); client.Ready(0, gradient); client.Finish();
//   client.Leave();
//
// Every call that fails throws cddp::Error, whose message says what is wrong and what to do. cddp.h says
// what each function does, which thread may call it and what must outlive what. For LibTorch there is cddp/torch.hpp.

#ifndef CDDP_CDDP_HPP_
#define CDDP_CDDP_HPP_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cddp/cddp.h"

namespace cddp {

class Error : public std::runtime_error {
 public:
  Error(cddp_code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  cddp_code code() const { return code_; }

 private:
  cddp_code code_;
};

// Throws an Error unless the code is CDDP_OK.
inline void Check(cddp_code code) {
  if (code != CDDP_OK) throw Error(code, cddp_error_message());
}

// Settings by name; see cddp_options_set.
class Options {
 public:
  Options() {
    cddp_options* made = nullptr;
    Check(cddp_options_create(&made));
    options_.reset(made);
  }
  // Options().Set(...) of each pair.
  Options(std::initializer_list<std::pair<const char*, std::string>> values) : Options() {
    for (const auto& [name, value] : values) Set(name, value);
  }

  Options& Set(const std::string& name, const std::string& value) {
    Check(cddp_options_set(options_.get(), name.c_str(), value.c_str()));
    return *this;
  }
  Options& Agree(const std::string& name, const std::string& value) {
    Check(cddp_options_agree(options_.get(), name.c_str(), value.c_str()));
    return *this;
  }
  Options& ReadEnvironment() {
    Check(cddp_options_read_environment(options_.get()));
    return *this;
  }
  std::string Get(const std::string& name) const {
    size_t length = 0;
    const cddp_code code = cddp_options_get(options_.get(), name.c_str(), nullptr, 0, &length);
    if (code != CDDP_RESOURCE_EXHAUSTED) Check(code);
    std::string value(length + 1, '\0');
    Check(cddp_options_get(options_.get(), name.c_str(), value.data(), value.size(), &length));
    value.resize(length);
    return value;
  }

  const cddp_options* get() const { return options_.get(); }

 private:
  struct Destroy {
    void operator()(cddp_options* options) const { cddp_options_destroy(options); }
  };
  std::unique_ptr<cddp_options, Destroy> options_;
};

// One tensor of the program, which owns the elements: float32 in C order, or a counter.
struct Tensor {
  Tensor(std::string name, std::vector<int64_t> shape, float* data, cddp_tensor_kind kind = CDDP_PARAMETER)
      : name(std::move(name)), shape(std::move(shape)), data(data), kind(kind) {}
  Tensor(std::string name, int64_t* counter) : name(std::move(name)), data(counter), kind(CDDP_COUNTER) {}

  std::string name;
  std::vector<int64_t> shape;
  void* data;
  cddp_tensor_kind kind;
};

// A worker of a training. The destructor does not leave: the servers keep this worker's place for their --lease.
class Client {
 public:
  // Joins; see cddp_join. `memory` null: the host's.
  Client(const Options& options, const std::vector<Tensor>& tensors, const cddp_memory* memory = nullptr) {
    std::vector<cddp_tensor> described;
    for (const Tensor& tensor : tensors) {
      cddp_tensor one = CDDP_TENSOR_INIT;
      one.kind = tensor.kind;
      one.type = tensor.kind == CDDP_COUNTER ? CDDP_INT64 : CDDP_FLOAT32;
      one.dimensions = static_cast<uint32_t>(tensor.shape.size());
      one.shape = tensor.shape.data();
      one.name = tensor.name.c_str();
      one.data = tensor.data;
      described.push_back(one);
    }
    cddp_client* joined = nullptr;
    Check(cddp_join(options.get(), described.data(), described.size(), memory, &joined));
    client_.reset(joined);
  }

  void Start() { Check(cddp_start(client_.get())); }
  void Restore(const std::string& state) { Check(cddp_restore(client_.get(), state.data(), state.size())); }
  void Leave(bool finished = true) { Check(cddp_leave(client_.get(), finished ? 1 : 0)); }

  void Begin() { Check(cddp_begin(client_.get(), nullptr)); }
  void Begin(const cddp_step_options& options) { Check(cddp_begin(client_.get(), &options)); }
  void Ready(size_t tensor, const float* gradient) { Check(cddp_ready(client_.get(), tensor, gradient)); }
  // Whether the step was done within that time.
  bool Wait(double seconds) {
    const cddp_code code = cddp_wait(client_.get(), seconds);
    if (code == CDDP_DEADLINE_EXCEEDED) return false;
    Check(code);
    return true;
  }
  cddp_result Finish() {
    cddp_result result = CDDP_RESULT_INIT;
    Check(cddp_finish(client_.get(), &result));
    return result;
  }
  void Cancel() { Check(cddp_cancel(client_.get())); }
  // Must Begin and Finish follow before the program's next step?
  bool NoteStep() {
    int due = 0;
    Check(cddp_note_step(client_.get(), &due));
    return due != 0;
  }
  cddp_result Step(const cddp_step_options* options = nullptr) {
    cddp_result result = CDDP_RESULT_INIT;
    Check(cddp_step(client_.get(), options, &result));
    return result;
  }

  std::string State() const {
    size_t size = 0;
    Check(cddp_state_size(client_.get(), &size));
    std::string state(size, '\0');
    Check(cddp_save_state(client_.get(), state.data(), state.size(), &size));
    state.resize(size);
    return state;
  }
  cddp_statistics Statistics() const {
    cddp_statistics statistics = CDDP_STATISTICS_INIT;
    Check(cddp_get_statistics(client_.get(), &statistics));
    return statistics;
  }

  cddp_client* get() const { return client_.get(); }

 private:
  struct Destroy {
    void operator()(cddp_client* client) const { cddp_destroy(client); }
  };
  std::unique_ptr<cddp_client, Destroy> client_;
};

}  // namespace cddp

#endif  // CDDP_CDDP_HPP_
