#include "server/refusals.h"

#include <spdlog/spdlog.h>

#include "absl/strings/match.h"

namespace cddp {
namespace {

constexpr size_t kMostTold = 1000;

}  // namespace

std::string HostOfPeer(absl::string_view peer) {
  const size_t colon = peer.rfind(':');
  if (colon == absl::string_view::npos || colon == peer.find(':')) return std::string(peer);
  // "ipv6:[::1]" has colons, too, but no port.
  const bool has_port = peer.find_first_not_of("0123456789", colon + 1) == absl::string_view::npos;
  return std::string(has_port ? peer.substr(0, colon) : peer);
}

absl::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNoCertificate:
      return "no_certificate";
    case Refusal::kBadCertificate:
      return "bad_certificate";
    case Refusal::kHandshake:
      return "handshake";
    case Refusal::kNoToken:
      return "no_token";
    case Refusal::kBadToken:
      return "bad_token";
    case Refusal::kNoRole:
      return "no_role";
    case Refusal::kWrongRole:
      return "wrong_role";
    case Refusal::kWrongRank:
      return "wrong_rank";
    case Refusal::kWrongServer:
      return "wrong_server";
    case Refusal::kWrongProtocol:
      return "wrong_protocol";
    case Refusal::kWrongRun:
      return "wrong_run";
    case Refusal::kCompressed:
      return "compressed";
    case Refusal::kTooFast:
      return "too_fast";
    case Refusal::kTooManyCalls:
      return "too_many_calls";
    case Refusal::kTooManyBytes:
      return "too_many_bytes";
    case Refusal::kUnreadAnswers:
      return "unread_answers";
    case Refusal::kNoDescriptor:
      return "no_descriptor";
  }
  return "other";
}

Refusals::Refusals(prometheus::Registry* registry, const std::string& shard) {
  auto& family = prometheus::BuildCounter()
                     .Name("cddp_server_refused_calls_total")
                     .Help("Calls and connections refused before they could change anything, by reason")
                     .Register(*registry);
  for (size_t i = 0; i < kRefusalCount; ++i) {
    counters_[i] = &family.Add({{"shard", shard}, {"reason", std::string(RefusalName(static_cast<Refusal>(i)))}});
  }
}

void Refusals::Note(Refusal refusal, absl::string_view peer, absl::string_view detail) {
  counters_[static_cast<size_t>(refusal)]->Increment();
  const std::string host = HostOfPeer(peer);
  {
    MutexLock lock(mutex_);
    if (told_.size() >= kMostTold || !told_.emplace(host, refusal).second) return;
  }
  spdlog::warn("event=call_refused reason={} peer={} detail=\"{}\"", std::string(RefusalName(refusal)), host,
               std::string(detail));
}

void Refusals::NoteHandshake(absl::string_view reason) {
  Refusal refusal = Refusal::kHandshake;
  if (absl::StrContains(reason, "did not return a certificate")) refusal = Refusal::kNoCertificate;
  if (absl::StrContains(reason, "certificate verify failed")) refusal = Refusal::kBadCertificate;
  Note(refusal, "unknown", reason);
}

uint64_t Refusals::count(Refusal refusal) const {
  return static_cast<uint64_t>(counters_[static_cast<size_t>(refusal)]->Value());
}

}  // namespace cddp
