// Access control: which caller may make which call.
//
// A caller's role comes from its token if the server has tokens; else, with mutual TLS, from its certificate: the
// subject's OU is "worker" or "operator", or an alternative name is the URI urn:cddp:role:worker or ...:operator. A
// server with neither accepts everyone (and listens on loopback only, unless --insecure is given).
//
// A certificate may belong to one worker: with the URI urn:cddp:rank:N it may act as rank N only (with several, as any
// of these). One without may act as every rank.

#ifndef SERVER_ACCESS_H_
#define SERVER_ACCESS_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "common/sync/mutex.h"
#include "common/transport/credentials.h"
#include "server/refusals.h"

namespace cddp {

enum class Rpc { kClaimRank, kJoin, kLeave, kHeartbeat, kExchange, kSnapshot, kCheckpoint, kStatus };
inline constexpr size_t kRpcCount = 8;
absl::string_view RpcName(Rpc rpc);  // its name in the proto

// Workers: all calls except Checkpoint and Status. Operators: Snapshot, Checkpoint and Status.
bool MayCall(Role role, Rpc rpc);

// The identity of a caller, as far as it is known.
class Caller {
 public:
  // Whether it may act as the worker of this rank.
  bool MayBe(uint32_t rank) const;

 private:
  friend class Access;
  // The facts of a certificate.
  struct Identity {
    std::optional<Role> role;     // none: no role, or more than one, or a rank that cannot be read
    std::vector<uint32_t> ranks;  // empty: any
  };
  std::shared_ptr<const Identity> identity_;  // null: no certificate
};

// Thread-safe.
class Access {
 public:
  // `refusals` must outlive it. NotFound or InvalidArgument for a token file that cannot be used.
  static absl::StatusOr<std::unique_ptr<Access>> Create(const SecurityOptions& options, Refusals* refusals);

  // Whether callers must authenticate.
  bool closed() const { return tokens_ != nullptr || certificates_; }

  // Unauthenticated for an unknown caller, PermissionDenied for a caller without the right; both noted as refusals.
  absl::StatusOr<Caller> Check(const grpc::ServerContextBase& context, Rpc rpc);

  // PermissionDenied, noted as a refusal, if the caller is another worker.
  absl::Status CheckRank(const grpc::ServerContextBase& context, const Caller& caller, uint32_t rank);

 private:
  explicit Access(Refusals* refusals) : refusals_(*refusals) {}
  absl::StatusOr<Role> RoleOf(const grpc::ServerContextBase& context, const Caller& caller);
  std::shared_ptr<const Caller::Identity> IdentityOf(const grpc::ServerContextBase& context);
  absl::Status Refuse(const grpc::ServerContextBase& context, Refusal why, const std::string& detail);

  Refusals& refusals_;
  std::unique_ptr<TokenTable> tokens_;
  bool certificates_ = false;
  Mutex mutex_;
  // Reading a certificate takes longer than the rest of a call; the few that are in use are cached. It
  // sees only certificates that the TLS handshake has verified.
  std::map<std::string, std::shared_ptr<const Caller::Identity>> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // SERVER_ACCESS_H_
