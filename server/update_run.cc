#include "server/update_run.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
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

UpdateRun RunOf(absl::string_view update) {
  const size_t size = SizeInRun(update);
  std::shared_ptr<char[]> bytes(new char[size]);
  WriteToRun(update, bytes.get());
  char* const begin = bytes.get();
  return {std::shared_ptr<const char>(std::move(bytes), begin), size};
}

std::vector<absl::string_view> UpdatesOf(const UpdateRun& run) {
  using google::protobuf::io::CodedInputStream;
  CodedInputStream input(reinterpret_cast<const uint8_t*>(run.data.get()), static_cast<int>(run.size));
  std::vector<absl::string_view> updates;
  uint32_t size = 0;
  while (input.ReadTag() != 0 && input.ReadVarint32(&size)) {
    const auto begin = static_cast<size_t>(input.CurrentPosition());
    if (!input.Skip(static_cast<int>(size))) return {};
    updates.push_back(run.bytes().substr(begin, size));
  }
  return updates;
}

}  // namespace cddp
