#include "worker/exchange/between_steps.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "worker/exchange/push_batch.h"

namespace cddp {
namespace {

void Send(const ExchangeParts& parts, PushBatch* batch) {
  if (batch->empty()) return;
  parts.cluster.Exchange(batch->Take(), [mailbox = parts.mailbox](uint32_t bucket, absl::StatusOr<PushReply> reply) {
    mailbox->Post(ExchangeMailbox::Answered{bucket, std::move(reply)});
  });
}

void Apply(const ExchangeParts& parts, uint32_t bucket, const PushReply& reply) {
  parts.driver.set_version(bucket, reply.version);
  parts.engine.Apply(bucket, reply, {}, [mailbox = parts.mailbox, bucket](absl::Status applied) {
    mailbox->Post(ExchangeMailbox::Applied{bucket, std::move(applied)});
  });
}

// Makes `count` pushes, buckets descending, and waits until all replies are applied; every one is awaited after an
// error, too. Cancelled if the exchange ends.
absl::Status PushAndApply(const ExchangeParts& parts, size_t count, absl::FunctionRef<Push(size_t)> make) {
  PushBatch batch;
  std::vector<bool> awaited(parts.layout.bucket_count());
  for (size_t i = 0; i < count; ++i) {
    Push push = make(i);
    awaited[push.bucket] = true;
    const uint32_t server = parts.cluster.server_of(push.bucket);
    const uint64_t length = parts.layout.bucket_length(push.bucket);
    if (!batch.Takes(server, push, length)) Send(parts, &batch);
    batch.Add(server, std::move(push), length);
  }
  Send(parts, &batch);
  absl::Status status;
  for (size_t left = count; left > 0;) {
    if (!parts.mailbox->HasNext()) parts.engine.Flush();
    ExchangeMailbox::Event event = parts.mailbox->Next();
    if (std::holds_alternative<ExchangeMailbox::Ended>(event)) return absl::CancelledError("the exchange has ended");
    if (const auto* applied = std::get_if<ExchangeMailbox::Applied>(&event)) {
      status.Update(applied->status);
      --left;
    }
    const auto* answered = std::get_if<ExchangeMailbox::Answered>(&event);
    if (answered == nullptr || !awaited[answered->bucket]) continue;
    if (!answered->reply.ok()) {
      status.Update(answered->reply.status());
      awaited[answered->bucket] = false;
      --left;
    } else if (!parts.driver.IsRepeated(answered->bucket, *answered->reply)) {
      awaited[answered->bucket] = false;
      Apply(parts, answered->bucket, *answered->reply);
    }
  }
  return status;
}

}  // namespace

absl::Status InitialiseWeights(const ExchangeParts& parts, bool is_source) {
  const uint32_t buckets = parts.layout.bucket_count();
  const absl::Status status = PushAndApply(parts, buckets, [&](size_t i) {
    Push push;
    push.bucket = buckets - 1 - static_cast<uint32_t>(i);
    if (is_source) push.update = parts.engine.EncodeWeights(push.bucket);
    parts.engine.ClearWeights(push.bucket);
    return push;
  });
  if (status.ok()) parts.driver.set_step(1);
  return status;
}

absl::Status TakeSnapshot(const ExchangeParts& parts) {
  const auto take = [&](uint32_t bucket, uint64_t version, absl::Span<const float> published) {
    if (bucket >= parts.layout.bucket_count() || published.size() != parts.layout.bucket_length(bucket)) {
      return absl::InternalError(absl::StrCat("bucket ", bucket, " with ", published.size(), " elements is not ours"));
    }
    parts.engine.SetWeights(bucket, published);
    parts.driver.set_version(bucket, version);
    return absl::OkStatus();
  };
  if (absl::Status status = parts.cluster.ReadSnapshot(take); !status.ok()) return status;
  const uint64_t newest = parts.driver.newest_version();
  // Where each contribution is a version, the workers' steps together make the versions.
  parts.driver.set_step(parts.cluster.is_sync() ? newest
                                                : std::max<uint64_t>(newest / parts.cluster.worker_count(), 1));
  return absl::OkStatus();
}

absl::Status RollForward(const ExchangeParts& parts) {
  while (true) {
    std::vector<Push> pushes = RollForward(parts.driver.versions());
    if (pushes.empty()) return absl::OkStatus();
    const absl::Status status =
        PushAndApply(parts, pushes.size(), [&pushes](size_t i) { return std::move(pushes[i]); });
    if (!status.ok()) return status;
  }
}

}  // namespace cddp
