#include "worker/trainer/worker_settings.h"

#include <vector>

#include "common/config/model_names.h"

namespace cddp {
namespace {

template <typename Member>
Binding<RunSettings> Flag(absl::string_view name, Member member) {
  return Bind<RunSettings>(name, member);
}
template <typename Member>
Binding<RunSettings> ByHand(absl::string_view name, Member member) {
  return BindByHand<RunSettings>(name, member);
}
template <typename Member>
Binding<RunSettings> NoFlag(Member member) {
  return BindByHand<RunSettings>("", member);
}

// Where a model's file lies is a worker's own affair; its content must be the same.
Binding<RunSettings> ModelFlag() {
  Binding<RunSettings> flag = Flag(
      "--model", [](auto& s) -> auto& { return s.options.model; });
  flag.text = [](const RunSettings& s) { return IsModelFile(s.options.model) ? "torchscript" : s.options.model; };
  return flag;
}

// Likewise of the file whose decisions are repeated.
Binding<RunSettings> LocalStepsFlag() {
  Binding<RunSettings> flag = Flag(
      "--local_steps", [](auto& s) -> auto& { return s.options.local_steps; });
  flag.text = [](const RunSettings& s) {
    const StepsChoice& choice = s.options.local_steps;
    return choice.kind == StepsChoice::Kind::kRepeat ? "repeated" : AbslUnparseFlag(choice);
  };
  return flag;
}

std::vector<Binding<RunSettings>> MakeBindings() {
  // A row a line.
  // clang-format off
  return {
      ModelFlag(),
      Flag("--loss", [](auto& s) -> auto& { return s.options.loss; }),
      Flag("--data_dir", [](auto& s) -> auto& { return s.options.data_dir; }),
      Flag("--data", [](auto& s) -> auto& { return s.options.data; }),
      Flag("--layers", [](auto& s) -> auto& { return s.options.gpt.layers; }),
      Flag("--dim", [](auto& s) -> auto& { return s.options.gpt.dim; }),
      Flag("--heads", [](auto& s) -> auto& { return s.options.gpt.heads; }),
      Flag("--context", [](auto& s) -> auto& { return s.options.gpt.context; }),
      Flag("--train_examples", [](auto& s) -> auto& { return s.options.train_examples; }),
      Flag("--test_examples", [](auto& s) -> auto& { return s.options.test_examples; }),
      Flag("--epochs", [](auto& s) -> auto& { return s.options.epochs; }),
      Flag("--batch_size", [](auto& s) -> auto& { return s.options.batch_size; }),
      Flag("--seed", [](auto& s) -> auto& { return s.options.seed; }),
      LocalStepsFlag(),
      Flag("--local_steps_log", [](auto& s) -> auto& { return s.options.local_steps_log; }),
      BindText<RunSettings>(
          "local_steps_crc32c", [](auto& s) -> auto& { return s.local_steps_crc32c; },
          [](const RunSettings& s) { return absl::StrFormat("%08x", s.local_steps_crc32c); }),
      Flag("--overlap", [](auto& s) -> auto& { return s.options.overlap; }),
      Flag("--optimizer", [](auto& s) -> auto& { return s.options.optimizer; }),
      Flag("--lr", [](auto& s) -> auto& { return s.options.step.lr.base; }),
      Flag("--lr_schedule", [](auto& s) -> auto& { return s.options.step.lr.schedule; }),
      Flag("--lr_warmup_steps", [](auto& s) -> auto& { return s.options.step.lr.warmup_steps; }),
      Flag("--lr_decay_steps", [](auto& s) -> auto& { return s.options.step.lr.decay_steps; }),
      Flag("--lr_decay_factor", [](auto& s) -> auto& { return s.options.step.lr.decay_factor; }),
      Flag("--momentum", [](auto& s) -> auto& { return s.options.step.momentum; }),
      Flag("--nesterov", [](auto& s) -> auto& { return s.options.step.nesterov; }),
      Flag("--weight_decay", [](auto& s) -> auto& { return s.options.step.weight_decay; }),
      Flag("--beta1", [](auto& s) -> auto& { return s.options.step.beta1; }),
      Flag("--beta2", [](auto& s) -> auto& { return s.options.step.beta2; }),
      Flag("--epsilon", [](auto& s) -> auto& { return s.options.step.epsilon; }),
      Flag("--param_groups", [](auto& s) -> auto& { return s.options.param_groups; }),
      Flag("--sparse_adam", [](auto& s) -> auto& { return s.options.sparse_adam; }),
      NoFlag([](auto& s) -> auto& { return s.options.step.kind; }),             // by --optimizer
      NoFlag([](auto& s) -> auto& { return s.options.step.lr.steps_before; }),  // by the step at which it joins
      Flag("--threads", [](auto& s) -> auto& { return s.options.threads; }),
      Flag("--device", [](auto& s) -> auto& { return s.options.device; }),
      Flag("--check_engine", [](auto& s) -> auto& { return s.options.check_engine; }),
      ByHand("--compute_ms", [](auto& s) -> auto& { return s.options.compute; }),
      BindText<RunSettings>(
          "--bucket_bytes", [](auto& s) -> auto& { return s.options.bucket_elements; },
          [](const RunSettings& s) { return ExactText(s.options.bucket_elements * sizeof(float)); }),
      Flag("--ratio", [](auto& s) -> auto& { return s.options.ratio; }),
      Flag("--ratio_log", [](auto& s) -> auto& { return s.options.ratio_log; }),
      NoFlag([](auto& s) -> auto& { return s.options.exchange.compressor.ratio; }),  // by --ratio
      Flag("--selection", [](auto& s) -> auto& { return s.options.exchange.compressor.selection; }),
      Flag("--value_encoding", [](auto& s) -> auto& { return s.options.exchange.compressor.value_encoding; }),
      Flag("--index_encoding", [](auto& s) -> auto& { return s.options.exchange.compressor.index_encoding; }),
      NoFlag([](auto& s) -> auto& { return s.options.exchange.compressor.always_sent; }),  // by --small_tensor_elements
      Flag("--residual_decay", [](auto& s) -> auto& { return s.options.exchange.residual_decay; }),
      Flag("--small_tensor_elements", [](auto& s) -> auto& { return s.options.exchange.small_tensor_elements; }),
      Flag("--momentum_correction", [](auto& s) -> auto& { return s.options.exchange.momentum_correction; }),
      Flag("--clip_norm", [](auto& s) -> auto& { return s.options.exchange.clip_norm; }),
      Flag("--ratio_warmup_steps", [](auto& s) -> auto& { return s.options.exchange.ratio_warmup_steps; }),
      NoFlag([](auto& s) -> auto& { return s.options.cluster.security; }),
      ByHand("--servers", [](auto& s) -> auto& { return s.options.cluster.addresses; }),
      BindText<RunSettings>(
          "--rank", [](auto& s) -> auto& { return s.options.cluster.rank; },
          [](const RunSettings& s) { return ExactText(s.options.cluster.rank); }),
      Flag("--workers", [](auto& s) -> auto& { return s.options.cluster.worker_count; }),
      NoFlag([](auto& s) -> auto& { return s.options.cluster.incarnation; }),
      NoFlag([](auto& s) -> auto& { return s.options.cluster.agreement; }),
      Flag("--run", [](auto& s) -> auto& { return s.options.cluster.run.name; }),
      NoFlag([](auto& s) -> auto& { return s.options.cluster.run.claim; }),  // by --run and the checkpoint
      Flag("--server_timeout", [](auto& s) -> auto& { return s.options.cluster.server_timeout; }),
      NoFlag([](auto& s) -> auto& { return s.options.cluster.catches_up; }),  // a worker always does
      Flag("--metrics_listen", [](auto& s) -> auto& { return s.options.metrics_listen; }),
      Flag("--tensorboard", [](auto& s) -> auto& { return s.options.tensorboard; }),
      Flag("--trace", [](auto& s) -> auto& { return s.options.trace; }),
      Flag("--model_output", [](auto& s) -> auto& { return s.options.model_output; }),
      Flag("--save_timeout", [](auto& s) -> auto& { return s.options.save_timeout; }),
      Flag("--max_skipped_steps", [](auto& s) -> auto& { return s.options.max_skipped_steps; }),
      Flag("--stop_on_non_finite", [](auto& s) -> auto& { return s.options.stop_on_non_finite; }),
      Flag("--checkpoint_dir", [](auto& s) -> auto& { return s.options.checkpoint_dir; }),
      Flag("--without_checkpoint", [](auto& s) -> auto& { return s.options.without_checkpoint; }),
      Flag("--checkpoint_every", [](auto& s) -> auto& { return s.options.checkpoint_every; }),
      ByHand("--progress", [](auto& s) -> auto& { return s.options.json_progress; }),
      NoFlag([](auto& s) -> auto& { return s.options.should_stop; }),
      BindText<RunSettings>(
          "data_crc32c", [](auto& s) -> auto& { return s.data_crc32c; },
          [](const RunSettings& s) { return absl::StrFormat("%08x", s.data_crc32c); }),
      BindText<RunSettings>(
          "model_crc32c", [](auto& s) -> auto& { return s.model_crc32c; },
          [](const RunSettings& s) { return absl::StrFormat("%08x", s.model_crc32c); }),
  };
  // clang-format on
}

}  // namespace

absl::Span<const Binding<RunSettings>> WorkerBindings() {
  static const auto& bindings = *new std::vector<Binding<RunSettings>>(MakeBindings());
  return bindings;
}

std::string DescribeForCheckpoint(const RunSettings& settings) {
  return Describe(WorkerSettings(), WorkerBindings(), settings,
                  [](const Setting& setting) { return setting.same_over == Over::kRestart; });
}

std::string DescribeForServers(const RunSettings& settings) {
  return Describe(WorkerSettings(), WorkerBindings(), settings,
                  [](const Setting& setting) { return setting.agree == Agree::kAll; });
}

}  // namespace cddp
