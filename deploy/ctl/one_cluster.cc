#include "deploy/ctl/one_cluster.h"

#include "absl/strings/str_cat.h"

namespace cddp::ctl {
namespace {

// Version 1 is the initial weights: a server has them before another one has.
constexpr uint64_t kTrained = 2;

absl::Status CheckPair(const ServerStatus& one, const ServerStatus& other) {
  const v1::StatusResponse& a = *one.response;
  const v1::StatusResponse& b = *other.response;
  if (a.shard_count() != b.shard_count()) {
    return absl::InvalidArgumentError(absl::StrCat("server ", one.address, " is one of ", a.shard_count(),
                                                   " servers, but server ", other.address, " one of ", b.shard_count(),
                                                   ": name the servers of one cluster"));
  }
  if (!a.run().empty() && !b.run().empty() && a.run() != b.run()) {
    return absl::InvalidArgumentError(absl::StrCat("server ", one.address, " holds run ", a.run(), ", but server ",
                                                   other.address, " run ", b.run(), ": name the servers of one run"));
  }
  if (a.shard() == b.shard()) {
    return absl::InvalidArgumentError(absl::StrCat("server ", one.address, " is shard ", a.shard(), ", and so is ",
                                                   other.address, ": name each server once"));
  }
  const ServerStatus& empty = a.run().empty() ? one : other;
  const ServerStatus& full = a.run().empty() ? other : one;
  if (a.run().empty() != b.run().empty() && full.response->max_version() >= kTrained) {
    return absl::InvalidArgumentError(absl::StrCat(
        "server ", empty.address, " holds no run, but server ", full.address, " run ", full.response->run(),
        " at version ", full.response->max_version(), ": it has lost its state, or is not one of that run's servers"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOneCluster(const std::vector<ServerStatus>& servers) {
  for (size_t i = 0; i < servers.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!servers[i].response.ok() || !servers[j].response.ok()) continue;
      if (absl::Status status = CheckPair(servers[j], servers[i]); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace cddp::ctl
