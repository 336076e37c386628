#include "common/agreement/settings.h"

#include <algorithm>

namespace cddp {
namespace {

constexpr Agree kAll = Agree::kAll;
constexpr Agree kNobody = Agree::kNobody;
constexpr Over kRestart = Over::kRestart;
constexpr Over kNothing = Over::kNothing;

constexpr Setting kServerSettings[] = {
    {"--shard", kNobody, kRestart},
    {"--shards", kAll, kRestart},
    {"--workers", kAll, kRestart},
    {"--consistency", kAll, kRestart},
    {"--quorum", kAll, kRestart},
    {"--max_staleness", kAll, kRestart},
    {"--optimizer", kAll, kRestart},
    {"--lr", kAll, kRestart},
    {"--lr_schedule", kAll, kRestart},
    {"--lr_warmup_steps", kAll, kRestart},
    {"--lr_decay_steps", kAll, kRestart},
    {"--lr_decay_factor", kAll, kRestart},
    {"--momentum", kAll, kRestart},
    {"--nesterov", kAll, kRestart},
    {"--weight_decay", kAll, kRestart},
    {"--beta1", kAll, kRestart},
    {"--beta2", kAll, kRestart},
    {"--epsilon", kAll, kRestart},
    {"--publish_ratio", kAll, kRestart},
    {"--value_encoding", kAll, kRestart},
    {"--index_encoding", kAll, kRestart},
    {"--small_tensor_elements", kAll, kRestart},
    {"--lease", kAll, kNothing},
    {"--start_timeout", kAll, kNothing},
    {"--min_workers", kAll, kNothing},
    // None of these changes a result.
    {"--log_versions"},
    {"--state_dir"},
    {"--durability"},
    {"--snapshot_bytes"},
    {"--checkpoint_every"},
    {"--keep_checkpoints"},
    {"--restore_version"},
    {"--run"},  // compared by name (run_identity.h)
    {"--resume"},
    {"--begin_anew"},
    {"--exit_when_finished"},
    {"--max_parameters"},
    {"--max_inflight_bytes"},
    {"--max_calls_per_peer"},
    {"--max_rate_per_peer"},
    {"--max_connection_age"},
    {"--drain_timeout"},
    {"--listen"},
    {"--metrics_listen"},
    {"--health_listen"},
    {"--insecure"},
    {"--tls_cert_file"},
    {"--tls_key_file"},
    {"--tls_ca_file"},
    {"--token_file"},
    {"--healthcheck"},
    {"--progress"},
};

constexpr Setting kWorkerSettings[] = {
    {"--model", kAll, kRestart},
    {"model_crc32c", kAll, kRestart},  // of its file, if it comes from one
    {"--loss", kAll, kRestart},
    {"--rank", kNobody, kRestart},
    {"--workers", kAll, kRestart},
    {"--layers", kAll, kRestart},
    {"--dim", kAll, kRestart},
    {"--heads", kAll, kRestart},
    {"--context", kAll, kRestart},
    {"--train_examples", kAll, kRestart},  // the number used
    {"data_crc32c", kAll, kRestart},       // of those examples
    {"--batch_size", kAll, kRestart},
    {"--seed", kAll, kRestart},
    {"--epochs", kAll, kNothing},        // a run may be made longer
    {"--bucket_bytes", kAll, kRestart},  // the value used
    {"--ratio", kNobody, kRestart},
    {"--selection", kNobody, kRestart},
    {"--value_encoding", kNobody, kRestart},
    {"--index_encoding", kNobody, kRestart},
    {"--small_tensor_elements", kNobody, kRestart},
    {"--ratio_warmup_steps", kNobody, kRestart},
    {"--residual_decay", kAll, kRestart},
    {"--momentum_correction", kAll, kRestart},
    {"--clip_norm", kAll, kRestart},
    {"--local_steps", kAll, kRestart},
    {"local_steps_crc32c", kAll, kRestart},  // of the decisions that are repeated
    {"--overlap", kAll, kRestart},
    {"--optimizer", kAll, kRestart},
    {"--lr", kAll, kRestart},
    {"--lr_schedule", kAll, kRestart},
    {"--lr_warmup_steps", kAll, kRestart},
    {"--lr_decay_steps", kAll, kRestart},
    {"--lr_decay_factor", kAll, kRestart},
    {"--momentum", kAll, kRestart},
    {"--nesterov", kAll, kRestart},
    {"--weight_decay", kAll, kRestart},
    {"--beta1", kAll, kRestart},
    {"--beta2", kAll, kRestart},
    {"--epsilon", kAll, kRestart},
    {"--param_groups", kAll, kRestart},
    // None of these changes a result, except that --threads and --device change rounding; each machine decides them.
    {"--threads"},
    {"--device"},
    {"--check_device"},
    {"--check_model"},
    {"--check_engine"},
    {"--servers"},
    {"--data_dir"},
    {"--data"},
    {"--test_examples"},
    {"--compute_ms"},
    {"--sparse_adam"},
    {"--ratio_log"},
    {"--local_steps_log"},
    {"--stop_on_non_finite"},
    {"--max_skipped_steps"},
    {"--checkpoint_dir"},
    {"--run"},
    {"--without_checkpoint"},
    {"--checkpoint_every"},
    {"--model_output"},
    {"--save_timeout"},
    {"--tensorboard"},
    {"--trace"},
    {"--metrics_listen"},
    {"--server_timeout"},
    {"--stop_timeout"},
    {"--tls_cert_file"},
    {"--tls_key_file"},
    {"--tls_ca_file"},
    {"--token_file"},
    {"--healthcheck"},
    {"--progress"},
};

}  // namespace

absl::Span<const Setting> ServerSettings() { return kServerSettings; }
absl::Span<const Setting> WorkerSettings() { return kWorkerSettings; }

bool IsKept(absl::string_view name) {
  const absl::Span<const Setting> all = WorkerSettings();
  const auto found =
      std::find_if(all.begin(), all.end(), [name](const Setting& setting) { return setting.name == name; });
  return found == all.end() || found->same_over == Over::kRestart;
}

}  // namespace cddp
