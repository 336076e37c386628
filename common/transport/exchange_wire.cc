#include "common/transport/exchange_wire.h"

#include <bit>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cddp/v1/parameter_server.pb.h"
#include "common/transport/protobuf_field.h"
#include "common/transport/protocol.h"
#include "common/transport/slice_reader.h"
#include "common/transport/slices.h"

namespace cddp {
namespace {

// Assembles a message from its fields, which are few bytes, and long runs, which have other owners.
class SliceWriter {
 public:
  std::string& fields() { return fields_; }  // the bytes before the next run
  void Add(const SharedBytes& run) {
    if (run.empty()) return;
    Flush();
    slices_.push_back(ToSlice(run));
  }
  grpc::ByteBuffer Finish() {
    Flush();
    return grpc::ByteBuffer(slices_.data(), slices_.size());
  }

 private:
  void Flush() {
    if (!fields_.empty()) slices_.emplace_back(fields_);
    fields_.clear();
  }

  std::string fields_;
  std::vector<grpc::Slice> slices_;
};

// Reads fields until the message ends at `end`; `read` takes each tag and returns false where its value is wrong.
template <typename ReadField>
bool ReadFields(SliceReader& reader, uint64_t end, const ReadField& read) {
  while (reader.position() < end) {
    FieldTag tag;
    if (!reader.ReadTag(&tag) || !read(tag)) return false;
  }
  return reader.position() == end;
}

// Reads an integer of any width; like protobuf, it drops surplus bits.
template <typename Integer>
bool ReadInteger(SliceReader& reader, Integer* value) {
  uint64_t bits = 0;
  if (!reader.ReadVarint(&bits)) return false;
  *value = static_cast<Integer>(bits);
  return true;
}

// Reads the head of a nested message; *end is its end.
bool ReadMessageHead(SliceReader& reader, uint64_t end_of_outer, uint64_t* end) {
  uint64_t length = 0;
  if (!reader.ReadLength(end_of_outer, &length)) return false;
  *end = reader.position() + length;
  return true;
}

bool ReadUpdate(SliceReader& reader, uint64_t end, size_t least_shared, SharedBytes* update) {
  uint64_t length = 0;
  return reader.ReadLength(end, &length) && reader.ReadBytes(length, least_shared, update);
}

bool ReadWorker(SliceReader& reader, uint64_t end, PushRequest* request) {
  return ReadFields(reader, end, [&](const FieldTag& tag) {
    if (tag.Is(v1::WorkerId::kRankFieldNumber, FieldTag::kVarint)) return ReadInteger(reader, &request->rank);
    if (tag.Is(v1::WorkerId::kIncarnationFieldNumber, FieldTag::kVarint)) {
      return ReadInteger(reader, &request->incarnation);
    }
    return reader.SkipValue(tag);
  });
}

bool ReadPush(SliceReader& reader, uint64_t end, Push* push) {
  using Field = v1::BucketPush;
  return ReadFields(reader, end, [&](const FieldTag& tag) {
    if (tag.Is(Field::kUpdateFieldNumber, FieldTag::kLengthDelimited)) {
      return ReadUpdate(reader, end, kLeastSharedBytes, &push->update);
    }
    if (tag.Is(Field::kWeightFieldNumber, FieldTag::kFixed32)) {
      uint32_t bits = 0;
      if (!reader.ReadFixed32(&bits)) return false;
      push->weight = std::bit_cast<float>(bits);
      return true;
    }
    if (tag.type != FieldTag::kVarint) return reader.SkipValue(tag);
    switch (tag.field) {
      case Field::kBucketFieldNumber:
        return ReadInteger(reader, &push->bucket);
      case Field::kStepFieldNumber:
        return ReadInteger(reader, &push->step);
      case Field::kBaseVersionFieldNumber:
        return ReadInteger(reader, &push->base_version);
      case Field::kNonFiniteFieldNumber:
        return ReadInteger(reader, &push->non_finite);
      case Field::kReplicaCrc32CFieldNumber:
        return ReadInteger(reader, &push->replica_crc32c.emplace());
      default:
        return reader.SkipValue(tag);
    }
  });
}

// *pushes counts all pushes; only the first kMostPushes are kept.
bool ReadRequest(SliceReader& reader, PushRequest* request, uint64_t* pushes) {
  using Field = v1::ExchangeRequest;
  return ReadFields(reader, reader.size(), [&](const FieldTag& tag) {
    uint64_t end = 0;
    if (tag.Is(Field::kWorkerFieldNumber, FieldTag::kLengthDelimited)) {
      return ReadMessageHead(reader, reader.size(), &end) && ReadWorker(reader, end, request);
    }
    if (tag.Is(Field::kViewFieldNumber, FieldTag::kVarint)) return ReadInteger(reader, &request->view);
    if (tag.field != Field::kPushesFieldNumber) return reader.SkipValue(tag);
    // A push taken for another field would get no answer, and the worker might not notice.
    if (tag.type != FieldTag::kLengthDelimited) return false;
    if (++*pushes > kMostPushes) return reader.SkipValue(tag);
    return ReadMessageHead(reader, reader.size(), &end) && ReadPush(reader, end, &request->pushes.emplace_back());
  });
}

bool ReadReply(SliceReader& reader, uint64_t end, PushReply* reply) {
  using Field = v1::BucketAnswer;
  return ReadFields(reader, end, [&](const FieldTag& tag) {
    if (tag.Is(Field::kUpdatesFieldNumber, FieldTag::kLengthDelimited)) {
      return ReadUpdate(reader, end, /*least_shared=*/0, &reply->updates.emplace_back());
    }
    if (tag.Is(Field::kVersionFieldNumber, FieldTag::kVarint)) return ReadInteger(reader, &reply->version);
    if (tag.Is(Field::kRefusedFieldNumber, FieldTag::kVarint)) return ReadInteger(reader, &reply->refused);
    if (tag.Is(Field::kReplacesFieldNumber, FieldTag::kVarint)) return ReadInteger(reader, &reply->replaces);
    return reader.SkipValue(tag);
  });
}

// *count counts all replies; only the first `most` are kept.
bool ReadReplies(SliceReader& reader, size_t most, std::vector<PushReply>* replies, uint64_t* count) {
  return ReadFields(reader, reader.size(), [&](const FieldTag& tag) {
    uint64_t end = 0;
    if (!tag.Is(v1::ExchangeResponse::kAnswersFieldNumber, FieldTag::kLengthDelimited)) return reader.SkipValue(tag);
    if (++*count > most) return reader.SkipValue(tag);
    return ReadMessageHead(reader, reader.size(), &end) && ReadReply(reader, end, &replies->emplace_back());
  });
}

}  // namespace

grpc::ByteBuffer SerializeExchangeRequest(const PushRequest& request) {
  v1::ExchangeRequest head;
  head.mutable_worker()->set_rank(request.rank);
  head.mutable_worker()->set_incarnation(request.incarnation);
  head.set_view(request.view);
  SliceWriter writer;
  writer.fields() = head.SerializeAsString();
  for (const Push& push : request.pushes) {
    v1::BucketPush before, after;  // the update, in the order of the fields' numbers
    before.set_bucket(push.bucket);
    before.set_step(push.step);
    before.set_base_version(push.base_version);
    after.set_non_finite(push.non_finite);
    if (push.replica_crc32c.has_value()) after.set_replica_crc32c(*push.replica_crc32c);
    if (push.weight.has_value()) after.set_weight(*push.weight);
    const std::string update_head =
        push.update.empty() ? "" : FieldHead(v1::BucketPush::kUpdateFieldNumber, push.update.size());
    writer.fields() +=
        FieldHead(v1::ExchangeRequest::kPushesFieldNumber,
                  before.ByteSizeLong() + update_head.size() + push.update.size() + after.ByteSizeLong());
    before.AppendToString(&writer.fields());
    writer.fields() += update_head;
    writer.Add(push.update);
    after.AppendToString(&writer.fields());
  }
  return writer.Finish();
}

absl::StatusOr<PushRequest> ParseExchangeRequest(grpc::ByteBuffer* buffer) {
  SliceReader reader(*buffer);
  buffer->Clear();
  PushRequest request;
  uint64_t pushes = 0;
  if (!ReadRequest(reader, &request, &pushes)) {
    return absl::InvalidArgumentError("the request is no ExchangeRequest");
  }
  if (pushes == 0 || pushes > kMostPushes) {
    return absl::InvalidArgumentError(
        absl::StrCat(pushes, " pushes in one Exchange: 1 to ", kMostPushes, " are right"));
  }
  for (size_t i = 1; i < request.pushes.size(); ++i) {
    if (request.pushes[i].bucket >= request.pushes[i - 1].bucket) {
      return absl::InvalidArgumentError(absl::StrCat("bucket ", request.pushes[i].bucket, " is pushed after bucket ",
                                                     request.pushes[i - 1].bucket, ": they must descend"));
    }
  }
  return request;
}

grpc::ByteBuffer SerializeExchangeResponse(absl::Span<const PackedReply> replies) {
  SliceWriter writer;
  for (const PackedReply& reply : replies) {
    v1::BucketAnswer before, after;  // the updates, in the order of the fields' numbers
    before.set_version(reply.version);
    after.set_refused(reply.refused);
    after.set_replaces(reply.replaces);
    size_t size = before.ByteSizeLong() + after.ByteSizeLong();
    for (const SharedBytes& run : reply.runs) size += run.size();
    writer.fields() += FieldHead(v1::ExchangeResponse::kAnswersFieldNumber, size);
    before.AppendToString(&writer.fields());
    for (const SharedBytes& run : reply.runs) writer.Add(run);
    after.AppendToString(&writer.fields());
  }
  return writer.Finish();
}

absl::StatusOr<std::vector<PushReply>> ParseExchangeResponse(grpc::ByteBuffer* buffer, size_t pushes) {
  SliceReader reader(*buffer);
  buffer->Clear();
  std::vector<PushReply> replies;
  uint64_t count = 0;
  if (!ReadReplies(reader, pushes, &replies, &count)) {
    return absl::InternalError("the server's answer is no ExchangeResponse");
  }
  if (count != pushes)
    return absl::InternalError(absl::StrCat("the server gave ", count, " answers to ", pushes, " pushes"));
  return replies;
}

}  // namespace cddp
