#include "common/transport/call_identity.h"

#include "absl/strings/str_cat.h"
#include "common/transport/protocol.h"

namespace cddp {
namespace {

absl::string_view ValueOf(const CallMetadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : absl::string_view(found->second.data(), found->second.size());
}

// Made only once, since every call sends or compares it.
const std::string& ProtocolText() {
  static const auto& text = *new std::string(absl::StrCat(kProtocolVersion));
  return text;
}

}  // namespace

void SetCallIdentity(grpc::ClientContext* context, const std::string& run) {
  context->AddMetadata(kProtocolKey, ProtocolText());
  SetCallRun(context, run);
}

void SetCallRun(grpc::ClientContext* context, const std::string& run) {
  if (!run.empty()) context->AddMetadata(kRunKey, run);
}

absl::Status CheckProtocol(const CallMetadata& metadata) {
  const absl::string_view spoken = ValueOf(metadata, kProtocolKey);
  if (spoken.empty() || spoken == ProtocolText()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the caller speaks protocol version ", spoken, ", this server ",
                                                 kProtocolVersion, ": run one release everywhere"));
}

absl::string_view RunOf(const CallMetadata& metadata) { return ValueOf(metadata, kRunKey); }

}  // namespace cddp
