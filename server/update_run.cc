#include "server/update_run.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "cddp/v1/parameter_server.pb.h"
#include "common/transport/protobuf_field.h"

namespace cddp {
namespace {

std::string Head(size_t size) { return FieldHead(v1::BucketAnswer::kUpdatesFieldNumber, size); }

}  // namespace

size_t SizeInRun(absl::string_view update) { return Head(update.size()).size() + update.size(); }

char* WriteToRun(absl::string_view update, char* to) {
  const std::string head = Head(update.size());
  char* const begin = std::copy(head.begin(), head.end(), to);
  std::copy(update.begin(), update.end(), begin);
  return begin;
}

SharedBytes RunOf(absl::string_view update) {
  const size_t size = SizeInRun(update);
  std::shared_ptr<char[]> bytes = std::make_shared_for_overwrite<char[]>(size);
  WriteToRun(update, bytes.get());
  const absl::string_view run(bytes.get(), size);
  return SharedBytes(std::move(bytes), run);
}

std::vector<absl::string_view> UpdatesOf(const SharedBytes& run) {
  using google::protobuf::io::CodedInputStream;
  CodedInputStream input(reinterpret_cast<const uint8_t*>(run.data()), static_cast<int>(run.size()));
  std::vector<absl::string_view> updates;
  uint32_t size = 0;
  while (input.ReadTag() != 0 && input.ReadVarint32(&size)) {
    const auto begin = static_cast<size_t>(input.CurrentPosition());
    if (!input.Skip(static_cast<int>(size))) return {};
    updates.push_back(run.view().substr(begin, size));
  }
  return updates;
}

std::vector<SharedBytes> UpdatesOfAll(absl::Span<const SharedBytes> runs) {
  std::vector<SharedBytes> updates;
  for (const SharedBytes& run : runs) {
    for (const absl::string_view update : UpdatesOf(run)) {
      updates.push_back(run.Part(static_cast<size_t>(update.data() - run.data()), update.size()));
    }
  }
  return updates;
}

}  // namespace cddp
