#include "server/access.h"

#include <grpc/grpc_security_constants.h>

#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/transport/certificate.h"

namespace cddp {
namespace {

constexpr size_t kMostKnown = 1000;
constexpr absl::string_view kRoleUri = "urn:cddp:role:";

absl::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

}  // namespace

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

absl::Status Access::Refuse(const grpc::ServerContextBase& context, Refusal why, const std::string& detail) {
  refusals_.Note(why, context.peer(), detail);
  return why == Refusal::kWrongRole ? absl::PermissionDeniedError(detail) : absl::UnauthenticatedError(detail);
}

absl::Status Access::Check(const grpc::ServerContextBase& context, Rpc rpc) {
  if (!closed()) return absl::OkStatus();
  absl::StatusOr<Role> role = RoleOf(context);
  if (!role.ok()) return role.status();
  if (MayCall(*role, rpc)) return absl::OkStatus();
  return Refuse(context, Refusal::kWrongRole,
                absl::StrCat("the role ", *role == Role::kWorker ? "worker" : "operator", " may not make this call"));
}

absl::StatusOr<Role> Access::RoleOf(const grpc::ServerContextBase& context) {
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
  const std::vector<grpc::string_ref> pem =
      context.auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  const std::optional<Role> role = pem.empty() ? std::nullopt : RoleOfCertificate(std::string(View(pem[0])));
  if (!role.has_value()) {
    return Refuse(context, Refusal::kNoRole,
                  "the certificate names no role: it needs OU=worker or OU=operator, or such a URI: "
                  "urn:cddp:role:worker");
  }
  return *role;
}

std::optional<Role> Access::RoleOfCertificate(const std::string& pem) {
  std::lock_guard lock(mutex_);
  if (const auto known = known_.find(pem); known != known_.end()) return known->second;
  std::set<Role> roles;
  if (const absl::StatusOr<CertificateFacts> facts = ParseCertificate(pem); facts.ok()) {
    for (const std::string& unit : facts->units) {
      if (const std::optional<Role> role = ParseRole(unit); role.has_value()) roles.insert(*role);
    }
    for (absl::string_view uri : facts->uris) {
      const std::optional<Role> role = absl::ConsumePrefix(&uri, kRoleUri) ? ParseRole(uri) : std::nullopt;
      if (role.has_value()) roles.insert(*role);
    }
  }
  if (known_.size() >= kMostKnown) known_.clear();
  // One that names both is a mistake, not a master key.
  const std::optional<Role> role = roles.size() == 1 ? std::optional(*roles.begin()) : std::nullopt;
  known_.emplace(pem, role);
  return role;
}

}  // namespace cddp
