#include "deploy/ctl/passed_flags.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "common/agreement/settings.h"

namespace cddp::ctl {
namespace {

// Flags that differ between processes; `cddp train` sets them.
constexpr absl::string_view kGivenOut[] = {"--shard", "--shards", "--rank"};

// The optimizer's settings, at workers or servers. `cddp train` has its other settings as flags.
constexpr absl::string_view kOptimizers[] = {"--lr_schedule",     "--lr_warmup_steps", "--lr_decay_steps",
                                             "--lr_decay_factor", "--beta1",           "--beta2",
                                             "--epsilon",         "--param_groups"};

bool IsPassed(absl::Span<const Setting> settings, absl::string_view name) {
  return std::find(std::begin(kGivenOut), std::end(kGivenOut), name) == std::end(kGivenOut) &&
         std::any_of(settings.begin(), settings.end(), [name](const Setting& setting) {
           return setting.name == name && absl::StartsWith(name, "--") &&
                  (setting.agree == Agree::kAll || setting.same_over == Over::kRestart);
         });
}

// Appends the words to the last `flag` of the arguments, or to a new one.
void AddWords(absl::string_view flag, const std::vector<std::string>& words, std::vector<std::string>* args) {
  if (words.empty()) return;
  const std::string begin = absl::StrCat(flag, "=");
  const auto given =
      std::find_if(args->rbegin(), args->rend(), [&](const std::string& arg) { return absl::StartsWith(arg, begin); });
  if (given == args->rend()) {
    args->push_back(absl::StrCat(begin, absl::StrJoin(words, " ")));
  } else {
    absl::StrAppend(&*given, " ", absl::StrJoin(words, " "));
  }
}

}  // namespace

std::vector<std::string> PassFlagsOn(const std::vector<std::string>& args,
                                     const std::function<bool(absl::string_view name)>& is_own) {
  std::vector<std::string> left;
  std::vector<std::string> to_servers;
  std::vector<std::string> to_workers;
  std::vector<std::string> to_optimizer;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string name = args[i].substr(0, args[i].find('='));
    const bool servers = IsPassed(ServerSettings(), name);
    const bool workers = IsPassed(WorkerSettings(), name);
    const bool has_value = name.size() < args[i].size();
    if ((!servers && !workers) || is_own(absl::StripPrefix(name, "--")) || (!has_value && i + 1 == args.size())) {
      left.push_back(args[i]);
      continue;
    }
    const std::string word = has_value ? args[i] : absl::StrCat(name, "=", args[++i]);
    if (std::find(std::begin(kOptimizers), std::end(kOptimizers), name) != std::end(kOptimizers)) {
      to_optimizer.push_back(word);
      continue;
    }
    if (servers) to_servers.push_back(word);
    if (workers) to_workers.push_back(word);
  }
  AddWords("--server_flags", to_servers, &left);
  AddWords("--worker_flags", to_workers, &left);
  AddWords("--optimizer_flags", to_optimizer, &left);
  return left;
}

std::vector<std::string> PassServerFlagsOn(const std::vector<std::string>& args,
                                           const std::function<bool(absl::string_view name)>& is_own) {
  std::vector<std::string> left;
  std::vector<std::string> to_servers;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string name = args[i].substr(0, args[i].find('='));
    const bool has_value = name.size() < args[i].size();
    if (!IsPassed(ServerSettings(), name) || is_own(absl::StripPrefix(name, "--")) ||
        (!has_value && i + 1 == args.size())) {
      left.push_back(args[i]);
      continue;
    }
    to_servers.push_back(has_value ? args[i] : absl::StrCat(name, "=", args[++i]));
  }
  AddWords("--server_flags", to_servers, &left);
  return left;
}

std::string PassedFlagNames(const std::function<bool(absl::string_view name)>& is_own) {
  std::set<absl::string_view> names;
  for (const absl::Span<const Setting> settings : {ServerSettings(), WorkerSettings()}) {
    for (const Setting& setting : settings) {
      if (IsPassed(settings, setting.name) && !is_own(absl::StripPrefix(setting.name, "--"))) {
        names.insert(setting.name);
      }
    }
  }
  return absl::StrJoin(names, " ");
}

}  // namespace cddp::ctl
