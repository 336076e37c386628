#include "worker/client/server_connection.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "common/clock/monotonic.h"
#include "common/transport/channel.h"

namespace cddp {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(3);
constexpr absl::Duration kTellPeriod = absl::Seconds(10);

}  // namespace

RenewedStub::RenewedStub(std::string address, std::shared_ptr<const ClientSecurity> security)
    : address_(std::move(address)),
      security_(std::move(security)),
      stub_(v1::ParameterServer::NewStub(CreateChannel(address_, security_.get()))) {}

std::shared_ptr<v1::ParameterServer::Stub> RenewedStub::get() const {
  std::lock_guard lock(mutex_);
  return stub_;
}

void RenewedStub::NoteSuccess() {
  if (security_ == nullptr) return;
  std::lock_guard lock(mutex_);
  failing_since_ = absl::InfiniteDuration();
}

void RenewedStub::NoteFailure() {
  if (security_ == nullptr) return;
  const absl::Duration now = MonotonicNow();
  std::lock_guard lock(mutex_);
  failing_since_ = std::min(failing_since_, now);
  if (now - failing_since_ < kPatience) return;
  failing_since_ = absl::InfiniteDuration();
  spdlog::info("event=channel_renewed server={}", address_);
  stub_ = v1::ParameterServer::NewStub(CreateChannel(address_, security_.get()));
}

void ServerConnection::TellWaiting(const std::string& reason) {
  const absl::Duration now = MonotonicNow();
  {
    std::lock_guard lock(mutex_);
    if (now - told_ < kTellPeriod) return;
    told_ = now;
  }
  spdlog::warn("event=waiting_for_server server={} reason=\"{}\"", address_, reason);
}

}  // namespace cddp
