#include "worker/cluster/server_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/monotonic.h"
#include "common/log/log.h"
#include "common/retry/retry.h"
#include "common/transport/channel.h"

namespace cddp {
namespace {

constexpr absl::Duration kChannelPatience = absl::Seconds(3);
// Shortest time between two look-ups of a name that leads to another server, since a step's calls fail together.
constexpr absl::Duration kLeastRenewal = absl::Seconds(1);
constexpr absl::Duration kTellPeriod = absl::Seconds(10);

}  // namespace

RenewedStubs::RenewedStubs(std::string address, std::shared_ptr<const ClientSecurity> security)
    : address_(std::move(address)),
      security_(std::move(security)),
      stubs_(std::make_shared<ServerStubs>(CreateChannel(address_, security_.get()))) {}

std::shared_ptr<ServerStubs> RenewedStubs::get() const {
  MutexLock lock(mutex_);
  return stubs_;
}

void RenewedStubs::NoteSuccess() {
  if (security_ == nullptr) return;
  MutexLock lock(mutex_);
  failing_since_ = absl::InfiniteDuration();
}

void RenewedStubs::NoteFailure(const absl::Status& status) {
  const absl::Duration now = MonotonicNow();
  MutexLock lock(mutex_);
  if (IsWrongServer(status)) {
    if (now - renewed_ < kLeastRenewal) return;
  } else {
    if (security_ == nullptr || FailureOf(status) != Failure::kLost) return;
    failing_since_ = std::min(failing_since_, now);
    if (now - failing_since_ < kChannelPatience) return;
  }
  renewed_ = now;
  failing_since_ = absl::InfiniteDuration();
  LogInfo(absl::StrCat("event=channel_renewed server=", address_));
  retired_ = std::exchange(stubs_, std::make_shared<ServerStubs>(CreateChannel(address_, security_.get())));
}

ServerConnection::ServerConnection(const GrpcClusterOptions& options, uint32_t shard)
    : stubs(options.addresses[shard], options.security),
      heartbeat_stubs(options.addresses[shard], options.security),
      address_(options.addresses[shard]),
      shard_(shard),
      shard_count_(static_cast<uint32_t>(options.addresses.size())) {}

void ServerConnection::TellWaiting(absl::string_view reason) {
  const absl::Duration now = MonotonicNow();
  {
    MutexLock lock(mutex_);
    if (now - told_ < kTellPeriod) return;
    told_ = now;
  }
  LogWarning(absl::StrCat("event=waiting_for_server server=", address_, " reason=\"", reason, "\""));
}

}  // namespace cddp
