#include "common/transport/intended_server.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/transport/status.h"

namespace cddp {

void SetIntendedServer(grpc::ClientContext* context, uint32_t shard, uint32_t shard_count) {
  context->AddMetadata(kIntendedServerKey, absl::StrCat(shard, "/", shard_count));
}

absl::Status CheckIntendedServer(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata, uint32_t shard,
                                 uint32_t shard_count) {
  const auto found = metadata.find(kIntendedServerKey);
  if (found == metadata.end()) return absl::OkStatus();
  const absl::string_view text(found->second.data(), found->second.size());
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  uint32_t meant = 0;
  uint32_t of = 0;
  if (!absl::SimpleAtoi(parts.first, &meant) || !absl::SimpleAtoi(parts.second, &of)) {
    return absl::InvalidArgumentError(absl::StrCat(kIntendedServerKey, ": '", text, "' is not SHARD/SHARDS"));
  }
  if (meant == shard && of == shard_count) return absl::OkStatus();
  absl::Status wrong = absl::UnavailableError(
      absl::StrCat("this is shard ", shard, " of ", shard_count, ", and the call is for shard ", meant, " of ", of,
                   ": does the name of that server lead to several, or elsewhere than before?"));
  wrong.SetPayload(kWrongServer, absl::Cord());
  return wrong;
}

bool IsWrongServer(const absl::Status& status) { return status.GetPayload(kWrongServer).has_value(); }

}  // namespace cddp
