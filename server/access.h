// The lock of the door: which caller may make which call.
//
// A caller's role comes from its token if the server has tokens; else, with mutual TLS, from its certificate: the
// subject's OU is "worker" or "operator", or an alternative name is the URI urn:cddp:role:worker or ...:operator. A
// server with neither lets everybody in (and listens on loopback only, unless told --insecure).

#ifndef SERVER_ACCESS_H_
#define SERVER_ACCESS_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "common/transport/credentials.h"
#include "server/refusals.h"

namespace cddp {

enum class Rpc { kClaimRank, kJoin, kLeave, kHeartbeat, kExchange, kSnapshot, kStatus };

// Workers train: all but Status. Operators look: Snapshot and Status.
bool MayCall(Role role, Rpc rpc);

// Thread-safe.
class Access {
 public:
  // `refusals` must outlive it. NotFound or InvalidArgument for a token file that cannot be used.
  static absl::StatusOr<std::unique_ptr<Access>> Create(const SecurityOptions& options, Refusals* refusals);

  // Do callers have to say who they are?
  bool closed() const { return tokens_ != nullptr || certificates_; }

  // Unauthenticated for a caller we do not know, PermissionDenied for one who may not; both noted as refusals.
  absl::Status Check(const grpc::ServerContextBase& context, Rpc rpc);

 private:
  explicit Access(Refusals* refusals) : refusals_(*refusals) {}
  absl::StatusOr<Role> RoleOf(const grpc::ServerContextBase& context);
  std::optional<Role> RoleOfCertificate(const std::string& pem);
  absl::Status Refuse(const grpc::ServerContextBase& context, Refusal why, const std::string& detail);

  Refusals& refusals_;
  std::unique_ptr<TokenTable> tokens_;
  bool certificates_ = false;
  std::mutex mutex_;
  // Reading a certificate takes longer than the rest of a call; the few that are in use are remembered. Only
  // certificates that the TLS handshake has verified come here.
  std::map<std::string, std::optional<Role>> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // SERVER_ACCESS_H_
