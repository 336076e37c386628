#include "server/server_settings.h"

#include <string>
#include <vector>

#include "server/shard_recovery.h"

namespace cddp {
namespace {

template <typename Member>
Binding<ServerOptions> Flag(absl::string_view name, Member member) {
  return Bind<ServerOptions>(name, member);
}
template <typename Member>
Binding<ServerOptions> ByHand(absl::string_view name, Member member) {
  return BindByHand<ServerOptions>(name, member);
}
template <typename Member>
Binding<ServerOptions> NoFlag(Member member) {
  return BindByHand<ServerOptions>("", member);
}

std::vector<Binding<ServerOptions>> MakeBindings() {
  // One row per line.
  // clang-format off
  return {
      Flag("--listen", [](auto& o) -> auto& { return o.listen; }),
      Flag("--metrics_listen", [](auto& o) -> auto& { return o.metrics_listen; }),
      ByHand("--tls_cert_file", [](auto& o) -> auto& { return o.security.tls_cert_file; }),
      ByHand("--tls_key_file", [](auto& o) -> auto& { return o.security.tls_key_file; }),
      ByHand("--tls_ca_file", [](auto& o) -> auto& { return o.security.tls_ca_file; }),
      ByHand("--token_file", [](auto& o) -> auto& { return o.security.token_file; }),
      Flag("--insecure", [](auto& o) -> auto& { return o.insecure; }),
      Flag("--health_listen", [](auto& o) -> auto& { return o.health_listen; }),
      Flag("--max_connection_age", [](auto& o) -> auto& { return o.max_connection_age; }),
      NoFlag([](auto& o) -> auto& { return o.keepalive; }),
      Flag("--max_inflight_bytes", [](auto& o) -> auto& { return o.limits.max_inflight_bytes; }),
      Flag("--max_calls_per_peer", [](auto& o) -> auto& { return o.limits.max_calls_per_peer; }),
      Flag("--max_rate_per_peer", [](auto& o) -> auto& { return o.limits.max_rate_per_peer; }),
      ByHand("--exit_when_finished", [](auto& o) -> auto& { return o.on_finished; }),
      Flag("--shard", [](auto& o) -> auto& { return o.shard.shard; }),
      Flag("--shards", [](auto& o) -> auto& { return o.shard.shard_count; }),
      Flag("--workers", [](auto& o) -> auto& { return o.shard.worker_count; }),
      Flag("--start_timeout", [](auto& o) -> auto& { return o.shard.start_timeout; }),
      Flag("--min_workers", [](auto& o) -> auto& { return o.shard.min_workers; }),
      NoFlag([](auto& o) -> auto& { return o.on_not_begun; }),
      Flag("--lease", [](auto& o) -> auto& { return o.shard.lease; }),
      Flag("--consistency", [](auto& o) -> auto& { return o.shard.consistency.mode; }),
      Flag("--quorum", [](auto& o) -> auto& { return o.shard.consistency.quorum; }),
      Flag("--max_staleness", [](auto& o) -> auto& { return o.shard.consistency.max_staleness; }),
      Flag("--optimizer", [](auto& o) -> auto& { return o.shard.optimizer.kind; }),
      Flag("--lr", [](auto& o) -> auto& { return o.shard.optimizer.lr.base; }),
      Flag("--lr_schedule", [](auto& o) -> auto& { return o.shard.optimizer.lr.schedule; }),
      Flag("--lr_warmup_steps", [](auto& o) -> auto& { return o.shard.optimizer.lr.warmup_steps; }),
      Flag("--lr_decay_steps", [](auto& o) -> auto& { return o.shard.optimizer.lr.decay_steps; }),
      Flag("--lr_decay_factor", [](auto& o) -> auto& { return o.shard.optimizer.lr.decay_factor; }),
      NoFlag([](auto& o) -> auto& { return o.shard.optimizer.lr.steps_before; }),
      Flag("--momentum", [](auto& o) -> auto& { return o.shard.optimizer.momentum; }),
      Flag("--nesterov", [](auto& o) -> auto& { return o.shard.optimizer.nesterov; }),
      Flag("--weight_decay", [](auto& o) -> auto& { return o.shard.optimizer.weight_decay; }),
      Flag("--beta1", [](auto& o) -> auto& { return o.shard.optimizer.beta1; }),
      Flag("--beta2", [](auto& o) -> auto& { return o.shard.optimizer.beta2; }),
      Flag("--epsilon", [](auto& o) -> auto& { return o.shard.optimizer.epsilon; }),
      Flag("--publish_ratio", [](auto& o) -> auto& { return o.shard.publish.ratio; }),
      NoFlag([](auto& o) -> auto& { return o.shard.publish.selection; }),
      Flag("--value_encoding", [](auto& o) -> auto& { return o.shard.publish.value_encoding; }),
      Flag("--index_encoding", [](auto& o) -> auto& { return o.shard.publish.index_encoding; }),
      NoFlag([](auto& o) -> auto& { return o.shard.publish.always_sent; }),  // by --small_tensor_elements
      Flag("--small_tensor_elements", [](auto& o) -> auto& { return o.shard.small_tensor_elements; }),
      Flag("--max_parameters", [](auto& o) -> auto& { return o.shard.max_parameters; }),
      Flag("--log_versions", [](auto& o) -> auto& { return o.shard.log_versions; }),
      Flag("--state_dir", [](auto& o) -> auto& { return o.shard.state_dir; }),
      Flag("--durability", [](auto& o) -> auto& { return o.shard.durability; }),
      Flag("--snapshot_bytes", [](auto& o) -> auto& { return o.shard.snapshot_bytes; }),
      Flag("--restore_version", [](auto& o) -> auto& { return o.shard.restore_version; }),
      Flag("--run", [](auto& o) -> auto& { return o.shard.run; }),
      Flag("--resume", [](auto& o) -> auto& { return o.shard.resume; }),
      Flag("--begin_anew", [](auto& o) -> auto& { return o.shard.begin_anew; }),
      Flag("--checkpoint_every", [](auto& o) -> auto& { return o.shard.checkpoint_every; }),
      Flag("--keep_checkpoints", [](auto& o) -> auto& { return o.shard.keep_checkpoints; }),
      NoFlag([](auto& o) -> auto& { return o.shard.files; }),
  };
  // clang-format on
}

std::string DescribeShard(const ShardOptions& shard, bool (*wanted)(const Setting&)) {
  ServerOptions options;
  options.shard = shard;
  return Describe(ServerSettings(), ServerBindings(), options, wanted);
}

}  // namespace

absl::Span<const Binding<ServerOptions>> ServerBindings() {
  static const auto& bindings = *new std::vector<Binding<ServerOptions>>(MakeBindings());
  return bindings;
}

std::string DescribeForJournal(const ShardOptions& options) {
  return DescribeShard(options, [](const Setting& setting) { return setting.same_over == Over::kRestart; });
}

std::string DescribeForWorkers(const ShardOptions& options) {
  return DescribeShard(options, [](const Setting& setting) { return setting.agree == Agree::kAll; });
}

}  // namespace cddp
