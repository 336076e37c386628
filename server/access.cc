#include "server/access.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/transport/certificate.h"

namespace cddp {
namespace {

constexpr size_t kMostKnown = 1000;
constexpr absl::string_view kRoleUri = "urn:cddp:role:";
constexpr absl::string_view kRankUri = "urn:cddp:rank:";

absl::string_view View(const grpc::string_ref& text) { return {text.data(), text.size()}; }

}  // namespace

absl::string_view RpcName(Rpc rpc) {
  switch (rpc) {
    case Rpc::kClaimRank:
      return "ClaimRank";
    case Rpc::kJoin:
      return "Join";
    case Rpc::kLeave:
      return "Leave";
    case Rpc::kHeartbeat:
      return "Heartbeat";
    case Rpc::kExchange:
      return "Exchange";
    case Rpc::kSnapshot:
      return "Snapshot";
    case Rpc::kCheckpoint:
      return "Checkpoint";
    case Rpc::kStatus:
      return "Status";
  }
  return "other";
}

bool MayCall(Role role, Rpc rpc) {
  switch (rpc) {
    case Rpc::kClaimRank:
    case Rpc::kJoin:
    case Rpc::kLeave:
    case Rpc::kHeartbeat:
    case Rpc::kExchange:
      return role == Role::kWorker;
    case Rpc::kSnapshot:
      return true;
    case Rpc::kCheckpoint:
    case Rpc::kStatus:
      return role == Role::kOperator;
  }
  return false;
}

absl::StatusOr<std::unique_ptr<Access>> Access::Create(const SecurityOptions& options, Refusals* refusals) {
  std::unique_ptr<Access> access(new Access(refusals));
  access->certificates_ = !options.tls_ca_file.empty();
  if (!options.token_file.empty()) {
    absl::StatusOr<std::unique_ptr<TokenTable>> tokens = TokenTable::Read(options.token_file);
    if (!tokens.ok()) return tokens.status();
    access->tokens_ = *std::move(tokens);
  }
  return access;
}

bool Caller::MayBe(uint32_t rank) const {
  if (identity_ == nullptr || identity_->ranks.empty()) return true;
  return std::find(identity_->ranks.begin(), identity_->ranks.end(), rank) != identity_->ranks.end();
}

absl::Status Access::Refuse(const grpc::ServerContextBase& context, Refusal why, const std::string& detail) {
  refusals_.Note(why, context.peer(), detail);
  return why == Refusal::kWrongRole || why == Refusal::kWrongRank ? absl::PermissionDeniedError(detail)
                                                                  : absl::UnauthenticatedError(detail);
}

absl::StatusOr<Caller> Access::Check(const grpc::ServerContextBase& context, Rpc rpc) {
  Caller caller;
  if (!closed()) return caller;
  if (certificates_) caller.identity_ = IdentityOf(context);
  absl::StatusOr<Role> role = RoleOf(context, caller);
  if (!role.ok()) return role.status();
  if (MayCall(*role, rpc)) return caller;
  return Refuse(context, Refusal::kWrongRole,
                absl::StrCat("the role ", *role == Role::kWorker ? "worker" : "operator", " may not make this call"));
}

absl::Status Access::CheckRank(const grpc::ServerContextBase& context, const Caller& caller, uint32_t rank) {
  if (caller.MayBe(rank)) return absl::OkStatus();
  return Refuse(context, Refusal::kWrongRank,
                absl::StrCat("the certificate is for rank ", absl::StrJoin(caller.identity_->ranks, ", "),
                             " (urn:cddp:rank), and may not act as rank ", rank));
}

absl::StatusOr<Role> Access::RoleOf(const grpc::ServerContextBase& context, const Caller& caller) {
  if (tokens_ != nullptr) {
    const auto found = context.client_metadata().find(kTokenKey);
    if (found == context.client_metadata().end()) {
      return Refuse(context, Refusal::kNoToken, "this server asks for a token: --token_file");
    }
    absl::string_view token = View(found->second);
    const std::optional<Role> role = absl::ConsumePrefix(&token, kTokenPrefix) ? tokens_->Find(token) : std::nullopt;
    if (!role.has_value()) return Refuse(context, Refusal::kBadToken, "this server does not know the token");
    return *role;
  }
  if (!caller.identity_->role.has_value()) {
    return Refuse(context, Refusal::kNoRole,
                  "the certificate names no role: it needs OU=worker or OU=operator, or such a URI: "
                  "urn:cddp:role:worker");
  }
  return *caller.identity_->role;
}

std::shared_ptr<const Caller::Identity> Access::IdentityOf(const grpc::ServerContextBase& context) {
  const std::vector<grpc::string_ref> found =
      context.auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  const std::string pem(found.empty() ? "" : View(found[0]));
  MutexLock lock(mutex_);
  if (const auto known = known_.find(pem); known != known_.end()) return known->second;
  auto identity = std::make_shared<Caller::Identity>();
  std::set<Role> roles;
  bool readable = true;
  if (const absl::StatusOr<CertificateFacts> facts = ParseCertificate(pem); facts.ok()) {
    for (const std::string& unit : facts->units) {
      if (const std::optional<Role> role = ParseRole(unit); role.has_value()) roles.insert(*role);
    }
    for (absl::string_view uri : facts->uris) {
      if (absl::ConsumePrefix(&uri, kRoleUri)) {
        if (const std::optional<Role> role = ParseRole(uri); role.has_value()) roles.insert(*role);
      } else if (absl::ConsumePrefix(&uri, kRankUri)) {
        // An unreadable one must not allow every rank.
        readable &= absl::SimpleAtoi(uri, &identity->ranks.emplace_back());
      }
    }
  }
  if (known_.size() >= kMostKnown) known_.clear();
  // A certificate with both roles is a mistake, and grants none.
  if (roles.size() == 1 && readable) identity->role = *roles.begin();
  if (!readable) identity->ranks = {UINT32_MAX};
  known_.emplace(pem, identity);
  return identity;
}

}  // namespace cddp
