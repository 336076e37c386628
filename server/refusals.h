// The calls and connections that a server refuses: counted by reason, logged once for each peer and reason.

#ifndef SERVER_REFUSALS_H_
#define SERVER_REFUSALS_H_

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "common/sync/mutex.h"

namespace cddp {

enum class Refusal {
  kNoCertificate,   // TLS: the peer showed none
  kBadCertificate,  // TLS: expired, or of a CA that we do not trust
  kHandshake,       // TLS: anything else, such as a peer that speaks plaintext
  kNoToken,         // the server requires tokens, and the call has none
  kBadToken,        // a token that the server does not know
  kNoRole,          // the certificate names no role
  kWrongRole,       // the role may not make this call
  kWrongRank,       // the certificate is another worker's
  kWrongServer,     // the call is for another shard
  kWrongProtocol,   // the caller is of a release that speaks another one
  kWrongRun,        // the call is of a run that this server does not hold
  kCompressed,      // the message is compressed by gRPC
  kTooFast,         // --max_rate_per_peer
  kTooManyCalls,    // --max_calls_per_peer
  kTooManyBytes,    // --max_inflight_bytes
  kUnreadAnswers,   // the peer does not read its answers
  kNoDescriptor,    // the connection would take one of the last descriptors (acceptor.h)
};
inline constexpr size_t kRefusalCount = 17;

// The value of the metric's label.
absl::string_view RefusalName(Refusal refusal);

// "ipv4:10.0.0.1:4711", as gRPC writes a peer, to "ipv4:10.0.0.1".
std::string HostOfPeer(absl::string_view peer);

// Thread-safe.
class Refusals {
 public:
  // Makes cddp_server_refused_calls_total{shard,reason} in `registry`, all at zero.
  Refusals(prometheus::Registry* registry, const std::string& shard);

  // `peer` as gRPC writes it ("ipv4:10.0.0.1:4711"): connections of one host are one peer. `detail` goes to the log and
  // must hold no secret.
  void Note(Refusal refusal, absl::string_view peer, absl::string_view detail);

  // A failed TLS handshake, by OpenSSL's words.
  void NoteHandshake(absl::string_view reason);
  // A call with a compressed message, by gRPC's words.
  void NoteCompressed(absl::string_view reason) { Note(Refusal::kCompressed, "unknown", reason); }

  uint64_t count(Refusal refusal) const;

 private:
  std::array<prometheus::Counter*, kRefusalCount> counters_;
  Mutex mutex_;
  // Bounded: whoever comes later, from ever new addresses, is counted only.
  std::set<std::pair<std::string, Refusal>> told_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // SERVER_REFUSALS_H_
