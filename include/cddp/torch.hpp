// Compressed-DDP around any LibTorch optimizer. Header-only; include it where LibTorch is.
//
//   torch::optim::AdamW adamw(model->parameters(), 1e-3);
//   cddp::DistributedOptimizer optimizer(adamw, *model, {{"local_steps", "4"}, {"ratio", "0.1"}});
//   for each batch: optimizer.zero_grad(); loss.backward(); optimizer.step();    // as before
//
// The servers, the rank and the number of workers come from the environment (CDDP_SERVERS, RANK, WORLD_SIZE, as `cddp
// run` sets them) or from the options.
//
// {"local_steps", "auto"}: as few as the network hides, decided by all workers. {"overlap", "1"}: an exchange goes on
// beside the next step, and the weights get its answer after that step; call exchange() at an epoch's end.
//
// By default the program's own optimizer makes the steps, and the changes of the weights are pushed ("push" is
// "weights"; start the servers with --optimizer=sgd --lr=1 --momentum=0). With {"push", "gradients"} the servers'
// optimizer makes the steps, and the one given only clears gradients; optimizer.backward(loss) instead of
// loss.backward() then pushes gradients while the backward pass still runs.

#ifndef CDDP_TORCH_HPP_
#define CDDP_TORCH_HPP_

#include <torch/torch.h>

#include <initializer_list>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cddp/cddp.hpp"

namespace cddp {

// Not thread-safe. The optimizer and the model must outlive it, and parameters must keep their memory: convert the
// model before, and assign to its tensors in place (tensor.copy_).
class DistributedOptimizer {
 public:
  // Joins the servers, and gives every worker the same parameters. Throws cddp::Error; also for parameters that are not
  // float32 on the host. Floating-point buffers (running statistics) are averaged.
  DistributedOptimizer(torch::optim::Optimizer& optimizer, torch::nn::Module& model,
                       std::initializer_list<std::pair<const char*, std::string>> options = {})
      : optimizer_(optimizer),
        options_(MakeOptions(options)),
        by_gradients_(options_.Get("push") == "gradients"),
        tensors_(TensorsOf(model)),
        client_(options_, Describe(tensors_)),
        ready_(tensors_.size()) {
    client_.Start();
    for (size_t i = 0; by_gradients_ && i < tensors_.size(); ++i) {
      if (tensors_[i].kind == CDDP_PARAMETER && tensors_[i].tensor.requires_grad()) Listen(i);
    }
  }

  DistributedOptimizer(const DistributedOptimizer&) = delete;
  DistributedOptimizer& operator=(const DistributedOptimizer&) = delete;
  ~DistributedOptimizer() { pass_->owner = nullptr; }  // a graph may outlive it

  // loss.backward() for the last pass before a step. Where gradients are pushed it begins the step, so `weight` is
  // given here; step() ends it.
  void backward(const torch::Tensor& loss, double weight = 1) {
    if (!by_gradients_) return loss.backward();
    Begin(loss.item<double>(), weight);
    pass_->owner = this;
    loss.backward();
    pass_->owner = nullptr;
  }

  // Makes a step. `loss` goes to `cddp status`; `weight`: how much this worker's batch counts, see cddp_step_options;
  // neither is read after backward(). Returns the exchange's result, if there was one.
  cddp_result step(double loss = 0, double weight = 1) {
    torch::NoGradGuard no_grad;
    if (!by_gradients_) {
      optimizer_.step();
      const cddp_step_options options = OptionsOf(loss, weight);
      return client_.Step(&options);
    }
    if (!is_begun_) Begin(loss, weight);
    for (size_t i = tensors_.size(); i > 0; --i) Ready(i - 1);
    is_begun_ = false;  // also if it fails: the client is over then
    return client_.Finish();
  }

  // Where weights are pushed: exchanges now, what has moved since the last exchange; then all workers have the same
  // weights. All of them must call it after the same step: at an epoch's end, before an evaluation.
  void exchange() {
    torch::NoGradGuard no_grad;
    const cddp_statistics now = client_.Statistics();
    const int exchanges = now.under_way != 0 && now.local_steps > 0 ? 2 : 1;  // one ends first
    for (int i = 0; i < exchanges; ++i) {
      client_.Begin();
      client_.Finish();
    }
  }

  void zero_grad() { optimizer_.zero_grad(); }

  // Save, between two steps, and restore, before the first step, what this worker needs to continue besides the
  // optimizer's and the program's own state (torch::save).
  std::string state() const { return client_.State(); }
  void load_state(const std::string& state) {
    torch::NoGradGuard no_grad;
    client_.Restore(state);
  }

  // Says that this worker's training is complete.
  void finish() { client_.Leave(true); }

  Client& client() { return client_; }

 private:
  struct Named {
    std::string name;
    torch::Tensor tensor;
    cddp_tensor_kind kind;
  };

  static Options MakeOptions(std::initializer_list<std::pair<const char*, std::string>> values) {
    Options options;
    options.Set("push", "weights").ReadEnvironment();
    for (const auto& [name, value] : values) options.Set(name, value);
    return options;
  }

  // Parameters, frozen ones too, buffers of floating-point numbers, and BatchNorm's counters. Tied tensors count once.
  static std::vector<Named> TensorsOf(torch::nn::Module& model) {
    std::vector<Named> named;
    std::set<const void*> known;
    const auto add = [&](const std::string& name, const torch::Tensor& tensor, cddp_tensor_kind kind) {
      if (tensor.numel() > 0 && !known.insert(tensor.data_ptr()).second) return;
      if (tensor.scalar_type() != torch::kFloat || !tensor.device().is_cpu() || !tensor.is_contiguous()) {
        throw Error(CDDP_UNIMPLEMENTED, "tensor '" + name + "' is no contiguous float32 tensor on the CPU, but " +
                                            tensor.toString() + ": convert the model first");
      }
      named.push_back({name, tensor, kind});
    };
    for (const auto& item : model.named_parameters()) add(item.key(), item.value(), CDDP_PARAMETER);
    for (const auto& item : model.named_buffers()) {
      if (item.value().is_floating_point()) add(item.key(), item.value(), CDDP_BUFFER);
    }
    for (const auto& item : model.named_buffers()) {
      const std::string counter = "num_batches_tracked";
      const std::string& name = item.key();
      const bool is_counter = name.size() >= counter.size() &&
                              name.compare(name.size() - counter.size(), counter.size(), counter) == 0 &&
                              item.value().scalar_type() == torch::kLong && item.value().device().is_cpu();
      if (is_counter) named.push_back({name, item.value(), CDDP_COUNTER});
    }
    return named;
  }

  static std::vector<Tensor> Describe(const std::vector<Named>& tensors) {
    std::vector<Tensor> described;
    for (const Named& one : tensors) {
      if (one.kind == CDDP_COUNTER) {
        described.emplace_back(one.name, one.tensor.data_ptr<int64_t>());
      } else {
        described.emplace_back(one.name, one.tensor.sizes().vec(), one.tensor.data_ptr<float>(), one.kind);
      }
    }
    return described;
  }

  static cddp_step_options OptionsOf(double loss, double weight) {
    cddp_step_options options = CDDP_STEP_OPTIONS_INIT;
    options.loss = loss;
    options.weight = weight;
    return options;
  }

  // The backward pass that backward() runs; null outside of one.
  struct Pass {
    DistributedOptimizer* owner = nullptr;
  };

  // Is called when LibTorch has added a tensor's whole gradient to tensor.grad().
  class Hook : public torch::autograd::FunctionPostHook {
   public:
    Hook(std::shared_ptr<Pass> pass, size_t index) : pass_(std::move(pass)), index_(index) {}
    torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                              const torch::autograd::variable_list& /*inputs*/) override {
      if (pass_->owner != nullptr) pass_->owner->Ready(index_);
      return outputs;
    }

   private:
    const std::shared_ptr<Pass> pass_;
    const size_t index_;
  };

  void Listen(size_t index) {
    accumulators_.push_back(torch::autograd::impl::grad_accumulator(tensors_[index].tensor));
    accumulators_.back()->add_post_hook(std::make_unique<Hook>(pass_, index));
  }

  void Begin(double loss, double weight) {
    client_.Begin(OptionsOf(loss, weight));
    is_begun_ = true;
    ready_.assign(ready_.size(), false);
  }

  // Once a step; a tensor without a gradient counts as one of zeros.
  void Ready(size_t index) {
    if (ready_[index] || tensors_[index].kind != CDDP_PARAMETER) return;
    ready_[index] = true;
    const torch::Tensor gradient = tensors_[index].tensor.grad();
    if (!gradient.defined()) return client_.Ready(index, nullptr);
    const torch::Tensor dense = (gradient.is_sparse() ? gradient.to_dense() : gradient).contiguous();
    client_.Ready(index, dense.data_ptr<float>());
  }

  torch::optim::Optimizer& optimizer_;
  const Options options_;
  const bool by_gradients_;
  const std::vector<Named> tensors_;
  Client client_;
  const std::shared_ptr<Pass> pass_ = std::make_shared<Pass>();
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;  // LibTorch itself does not keep them
  std::vector<bool> ready_;                                           // by tensor, in the step under way
  bool is_begun_ = false;
};

}  // namespace cddp

#endif  // CDDP_TORCH_HPP_
