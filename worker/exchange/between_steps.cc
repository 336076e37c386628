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

// The next event; Cancelled if the exchange ends.
absl::StatusOr<ExchangeMailbox::Event> NextEvent(const ExchangeParts& parts) {
  if (!parts.mailbox->HasNext()) parts.engine.Flush();
  ExchangeMailbox::Event event = parts.mailbox->Next();
  if (std::holds_alternative<ExchangeMailbox::Ended>(event)) return absl::CancelledError("the exchange has ended");
  return event;
}

// Makes `count` pushes, buckets descending, and waits until all replies are applied. The first error cancels the
// others, which are awaited, too. Cancelled if the exchange ends.
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
    absl::StatusOr<ExchangeMailbox::Event> event = NextEvent(parts);
    if (!event.ok()) return event.status();
    if (const auto* applied = std::get_if<ExchangeMailbox::Applied>(&*event)) {
      status.Update(applied->status);
      --left;
    }
    const auto* answered = std::get_if<ExchangeMailbox::Answered>(&*event);
    if (answered != nullptr && awaited[answered->bucket]) {
      if (!answered->reply.ok()) {
        status.Update(answered->reply.status());
        awaited[answered->bucket] = false;
        --left;
      } else if (!parts.driver.IsRepeated(answered->bucket, *answered->reply)) {
        awaited[answered->bucket] = false;
        Apply(parts, answered->bucket, *answered->reply);
      }
    }
    if (!status.ok()) parts.cluster.CancelExchanges(status);
  }
  return status;
}

// Reads the published weights, or the changes since the replica's versions.
absl::Status ReadPublished(const ExchangeParts& parts, absl::Span<const uint64_t> held) {
  size_t applying = 0;
  const auto take = [&](const Cluster::PublishedBucket& published) {
    const uint32_t bucket = published.bucket;
    const bool is_whole = held.empty() || !published.weights.empty();
    if (bucket >= parts.layout.bucket_count() ||
        (is_whole && published.weights.size() != parts.layout.bucket_length(bucket))) {
      return absl::InternalError(
          absl::StrCat("bucket ", bucket, " with ", published.weights.size(), " elements is not ours"));
    }
    if (is_whole) {
      parts.engine.SetWeights(bucket, published.weights);
      parts.driver.set_version(bucket, published.version);
    } else if (published.version > held[bucket]) {
      ++applying;
      Apply(parts, bucket, {published.version, published.updates});
    }
    return absl::OkStatus();
  };
  absl::Status status = parts.cluster.ReadSnapshot(held, take);
  while (applying > 0) {
    const absl::StatusOr<ExchangeMailbox::Event> event = NextEvent(parts);
    if (!event.ok()) return event.status();
    const auto* applied = std::get_if<ExchangeMailbox::Applied>(&*event);
    if (applied == nullptr) continue;
    status.Update(applied->status);
    --applying;
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

absl::Status CatchUpWithOthers(const ExchangeParts& parts) {
  absl::Status status = ReadPublished(parts, {});
  // If each contribution is a version, a step of all workers makes one version per worker.
  const uint64_t of_a_step = parts.cluster.is_sync() ? 1 : parts.cluster.worker_count();
  for (uint64_t made = UINT64_MAX, before = made; status.ok() && made > of_a_step;) {
    const std::vector<uint64_t> held = parts.driver.versions();
    const uint64_t newest = parts.driver.newest_version();
    status = ReadPublished(parts, held);
    before = std::exchange(made, parts.driver.newest_version() - newest);
    if (made > before - before / 4) break;
  }
  if (status.ok()) status = parts.cluster.TakePart();
  if (!status.ok()) return status;
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
