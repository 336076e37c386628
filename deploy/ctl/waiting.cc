#include "deploy/ctl/waiting.h"

#include <algorithm>
#include <cstdint>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "deploy/ctl/format.h"

namespace cddp::ctl {
namespace {

std::string Names(const char* what, const std::set<size_t>& numbers) {
  return absl::StrCat(what, numbers.size() == 1 ? " " : "s ", absl::StrJoin(numbers, ", "));
}

}  // namespace

std::string DescribeWaiting(const std::vector<ServerStatus>& servers, absl::Duration quiet) {
  std::set<size_t> silent;
  std::set<size_t> late;
  uint64_t since_ms = 0;
  std::vector<std::string> reasons;
  for (size_t shard = 0; shard < servers.size(); ++shard) {
    if (!servers[shard].response.ok()) {
      silent.insert(shard);
      continue;
    }
    if (const std::string& trouble = servers[shard].response->trouble(); !trouble.empty()) {
      reasons.push_back(absl::StrCat("server ", shard, ": ", trouble));
    }
    late.insert(servers[shard].response->waiting_for().begin(), servers[shard].response->waiting_for().end());
    since_ms = std::max(since_ms, servers[shard].response->waiting_ms());
  }
  if (!silent.empty()) {
    reasons.push_back(absl::StrCat(Names("server", silent), silent.size() == 1 ? " does" : " do", " not answer"));
  }
  if (!late.empty()) {
    reasons.push_back(absl::StrCat("the servers wait for ", Names("worker", late), ", for ",
                                   FormatElapsed(absl::Milliseconds(since_ms))));
  }
  if (reasons.empty())
    reasons.push_back("the servers answer and wait for nobody: the workers compute, or are starting");
  return absl::StrCat("no step for ", FormatElapsed(quiet), ": ", absl::StrJoin(reasons, "; "));
}

}  // namespace cddp::ctl
