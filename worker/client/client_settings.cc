#include "worker/client/client_settings.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/agreement/binding.h"
#include "common/agreement/settings.h"
#include "common/config/similar_name.h"
#include "common/transport/address.h"

namespace cddp {
namespace {

// One option: its help and its binding.
struct Option {
  const char* help;
  Binding<ClientOptions> binding;
};

template <typename Member>
Option Flag(absl::string_view name, const char* help, Member member) {
  return {help, Bind<ClientOptions>(name, member)};
}

bool SetRank(ClientOptions* options, absl::string_view text, std::string* error) {
  if (text == "auto") {
    options->rank.reset();
    return true;
  }
  uint32_t rank = 0;
  if (!absl::SimpleAtoi(text, &rank)) {
    *error = "use a number from 0, or auto";
    return false;
  }
  options->rank = rank;
  return true;
}

bool SetServers(ClientOptions* options, absl::string_view text, std::string* error) {
  absl::StatusOr<std::vector<std::string>> servers = ParseAddresses(text);
  if (!servers.ok()) {
    *error = std::string(servers.status().message());
    return false;
  }
  options->servers = *std::move(servers);
  return true;
}

Option Rank() {
  auto binding = BindText<ClientOptions>(
      "--rank", [](auto& o) -> auto& { return o.rank; },
      [](const ClientOptions& o) { return o.rank.has_value() ? absl::StrCat(*o.rank) : "auto"; });
  binding.set = SetRank;
  return {"index of this worker, from 0; auto: one that nobody holds, from the first server", binding};
}

Option Servers() {
  auto binding = BindText<ClientOptions>(
      "--servers", [](auto& o) -> auto& { return o.servers; },
      [](const ClientOptions& o) { return absl::StrJoin(o.servers, ","); });
  binding.set = SetServers;
  return {"addresses of all servers, host:port,..., in shard order", binding};
}

bool SetRun(ClientOptions* options, absl::string_view text, std::string* error) {
  if (absl::Status status = CheckRunName("run", text); !text.empty() && !status.ok()) {
    *error = std::string(status.message());
    return false;
  }
  options->cluster.run = {std::string(text), text.empty() ? RunClaim::kAny : RunClaim::kNamed};
  return true;
}

Option Run() {
  auto binding = BindText<ClientOptions>(
      "--run", [](auto& o) -> auto& { return o.cluster.run.name; },
      [](const ClientOptions& o) { return o.cluster.run.name; });
  binding.set = SetRun;
  return {"name of the run that this worker takes part in; empty: that of the servers", binding};
}

std::vector<Option> MakeOptions() {
  // One row per line.
  // clang-format off
  return {
      Servers(),
      Rank(),
      Flag("--workers", "number of workers", [](auto& o) -> auto& { return o.cluster.worker_count; }),
      Flag("--model", "what all workers call the model", [](auto& o) -> auto& { return o.model; }),
      Flag("push", "gradients: the servers' optimizer makes the steps; weights: the program's own does, and the servers average", [](auto& o) -> auto& { return o.push; }),
      Flag("--local_steps", "weights: steps between two exchanges; auto: as few as the network hides, decided by all workers", [](auto& o) -> auto& { return o.local_steps; }),
      Flag("--overlap", "weights: steps that are made while the exchange of the last ones is under way; 0: none", [](auto& o) -> auto& { return o.overlap; }),
      Flag("--ratio", "fraction of the elements sent each step, in (0, 1]; 1: dense", [](auto& o) -> auto& { return o.exchange.compressor.ratio; }),
      Flag("--selection", "top_k: exactly the fraction; threshold: half to twice of it, by a threshold that is carried over", [](auto& o) -> auto& { return o.exchange.compressor.selection; }),
      Flag("--value_encoding", "encoding of the values sent", [](auto& o) -> auto& { return o.exchange.compressor.value_encoding; }),
      Flag("--index_encoding", "encoding of the indices sent", [](auto& o) -> auto& { return o.exchange.compressor.index_encoding; }),
      Flag("--small_tensor_elements", "tensors of fewer elements (biases, normalisation) are sent whole", [](auto& o) -> auto& { return o.exchange.small_tensor_elements; }),
      Flag("--ratio_warmup_steps", "steps in which the ratio falls from 25 % to its value; 0: none", [](auto& o) -> auto& { return o.exchange.ratio_warmup_steps; }),
      Flag("--residual_decay", "the residual is multiplied by it before each exchange, in [0, 1]", [](auto& o) -> auto& { return o.exchange.residual_decay; }),
      Flag("--momentum_correction", "gradients: momentum that the worker keeps in the place of the servers', in [0, 1); 0: none", [](auto& o) -> auto& { return o.exchange.momentum_correction; }),
      Flag("--clip_norm", "gradients: limit of the norm of all workers' summed gradients, clipped locally; 0: none", [](auto& o) -> auto& { return o.exchange.clip_norm; }),
      Flag("--bucket_bytes", "gradient bytes of a bucket; 0: by the model's size", [](auto& o) -> auto& { return o.bucket_bytes; }),
      Flag("--sparse_adam", "gradients: let the servers' Adam step what a ratio below 1 sends, at a loss of quality", [](auto& o) -> auto& { return o.sparse_adam; }),
      Run(),
      Flag("any_outer", "weights: accept servers that do not average", [](auto& o) -> auto& { return o.any_outer; }),
      Flag("--server_timeout", "how long a server may be out of reach (\"60s\")", [](auto& o) -> auto& { return o.cluster.server_timeout; }),
      Flag("--tensorboard", "folder for TensorBoard's event files of rank 0: loss, bytes, ratio, residual, waiting; empty: none", [](auto& o) -> auto& { return o.tensorboard; }),
      Flag("--tls_ca_file", "PEM certificates of the CAs to believe", [](auto& o) -> auto& { return o.security.tls_ca_file; }),
      Flag("--tls_cert_file", "PEM certificate of this worker, with its chain", [](auto& o) -> auto& { return o.security.tls_cert_file; }),
      Flag("--tls_key_file", "PEM private key of the certificate", [](auto& o) -> auto& { return o.security.tls_key_file; }),
      Flag("--token_file", "file with this worker's token", [](auto& o) -> auto& { return o.security.token_file; }),
  };
  // clang-format on
}

const std::vector<Option>& Options() {
  static const auto& options = *new std::vector<Option>(MakeOptions());
  return options;
}

absl::string_view NameOf(const Option& option) { return absl::StripPrefix(option.binding.name, "--"); }

absl::StatusOr<const Option*> Find(absl::string_view name) {
  std::vector<std::string> known;
  for (const Option& option : Options()) {
    if (NameOf(option) == name) return &option;
    known.emplace_back(NameOf(option));
  }
  const std::string similar = SimilarName(absl::StripPrefix(name, "--"), known);
  return absl::NotFoundError(absl::StrCat("there is no option '", name, "'",
                                          similar.empty() ? "" : absl::StrCat(": did you mean '", similar, "'?")));
}

// The rules of cddp-worker's settings of the same names; settings that only clients have must be alike, and kept.
std::vector<Setting> SettingsOfClients() {
  std::vector<Setting> settings;
  const absl::Span<const Setting> workers = WorkerSettings();
  for (const Option& option : Options()) {
    const absl::string_view name = option.binding.name;
    const auto found =
        std::find_if(workers.begin(), workers.end(), [name](const Setting& s) { return s.name == name; });
    if (found != workers.end()) settings.push_back(*found);
    if (name == "push") settings.push_back({name, Agree::kAll, Over::kRestart});
  }
  return settings;
}

std::string Describe(const ClientOptions& options, bool (*wanted)(const Setting&)) {
  std::vector<Binding<ClientOptions>> bindings;
  for (const Option& option : Options()) bindings.push_back(option.binding);
  std::string text = Describe<ClientOptions>(SettingsOfClients(), bindings, options, wanted);
  for (const auto& [name, value] : options.facts) absl::StrAppend(&text, " ", name, "=", value);
  return text;
}

absl::Status ValidateRounds(const ClientOptions& options) {
  const StepsChoice& steps = options.local_steps;
  if (steps.kind == StepsChoice::Kind::kRepeat) {
    return absl::InvalidArgumentError(absl::StrCat("local_steps=", AbslUnparseFlag(steps),
                                                   ": decisions can be repeated by cddp-worker alone; use a number or "
                                                   "auto"));
  }
  if (steps.kind == StepsChoice::Kind::kFixed && steps.steps == 0) {
    return absl::InvalidArgumentError("local_steps must be at least 1");
  }
  if (options.push == PushKind::kWeights) return absl::OkStatus();
  if (steps != StepsChoice()) {
    return absl::InvalidArgumentError("local_steps above 1 needs push=weights: gradients are pushed every step");
  }
  if (options.overlap > 0) {
    return absl::InvalidArgumentError(
        "overlap needs push=weights: no step can begin before the servers' optimizer has made the last one");
  }
  return absl::OkStatus();
}

bool IsWord(absl::string_view text) {
  return !text.empty() && text.find_first_of(" \t\r\n=") == absl::string_view::npos;
}

}  // namespace

absl::Span<const ClientOptionHelp> ClientOptionNames() {
  static const auto& names = *[] {
    auto* made = new std::vector<ClientOptionHelp>;
    for (const Option& option : Options()) made->push_back({NameOf(option).data(), option.help});
    return made;
  }();
  return names;
}

absl::Status SetClientOption(absl::string_view name, absl::string_view value, ClientOptions* options) {
  absl::StatusOr<const Option*> option = Find(name);
  if (!option.ok()) return option.status();
  if (std::string error; !(*option)->binding.set(options, value, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, "=", value, " is not understood", error.empty() ? "" : absl::StrCat(": ", error)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> GetClientOption(absl::string_view name, const ClientOptions& options) {
  absl::StatusOr<const Option*> option = Find(name);
  if (!option.ok()) return option.status();
  return (*option)->binding.text(options);
}

absl::Status AddFact(absl::string_view name, absl::string_view value, ClientOptions* options) {
  if (!IsWord(name) || !IsWord(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' = '", value, "': name and value must be words, without spaces or '='"));
  }
  for (const Option& option : Options()) {
    if (option.binding.name == name || NameOf(option) == name) {
      return absl::InvalidArgumentError(absl::StrCat("'", name, "' is an option: set it as such"));
    }
  }
  for (auto& [known, old] : options->facts) {
    if (known != name) continue;
    old = std::string(value);
    return absl::OkStatus();
  }
  options->facts.emplace_back(name, value);
  return absl::OkStatus();
}

absl::Status Validate(const ClientOptions& options) {
  if (options.servers.empty()) return absl::InvalidArgumentError("no servers: set the option 'servers'");
  if (options.cluster.worker_count == 0) return absl::InvalidArgumentError("workers must be at least 1");
  if (options.rank.has_value() && *options.rank >= options.cluster.worker_count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rank=", *options.rank, " is outside workers=", options.cluster.worker_count, ": ranks count from 0"));
  }
  if (absl::Status status = ValidateRounds(options); !status.ok()) return status;
  if (!IsWord(options.model)) {
    return absl::InvalidArgumentError(
        absl::StrCat("model='", options.model, "' must be a word, without spaces or '='"));
  }
  if (options.push == PushKind::kWeights && options.exchange.clip_norm > 0) {
    return absl::InvalidArgumentError("clip_norm has no effect with push=weights: clip before your optimizer's step");
  }
  if (options.push == PushKind::kWeights && options.exchange.momentum_correction > 0) {
    return absl::InvalidArgumentError(
        "momentum_correction has no effect with push=weights: your optimizer has its own");
  }
  return Validate(options.exchange);
}

std::string DescribeForServers(const ClientOptions& options) {
  return Describe(options, [](const Setting& setting) { return setting.agree == Agree::kAll; });
}

std::string DescribeForState(const ClientOptions& options) {
  return Describe(options, [](const Setting& setting) { return setting.same_over == Over::kRestart; });
}

}  // namespace cddp
