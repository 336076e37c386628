#include "server/bucket_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/crc32c.h"
#include "common/codec/update_codec.h"

namespace cddp {
namespace {

// The sum of one bucket, kept by each aggregating thread so that no round allocates.
std::vector<float>& ThreadSum(uint32_t length) {
  thread_local std::vector<float> sum;
  sum.assign(length, 0.0f);
  return sum;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BucketState>> BucketState::Create(uint32_t length, const BucketOptions& options) {
  absl::StatusOr<std::unique_ptr<BucketCompressor>> publisher = BucketCompressor::Create(length, options.publish);
  if (!publisher.ok()) return publisher.status();
  return std::unique_ptr<BucketState>(new BucketState(length, options, *std::move(publisher)));
}

BucketState::BucketState(uint32_t length, const BucketOptions& options, std::unique_ptr<BucketCompressor> publisher)
    : length_(length),
      options_(options),
      published_(length),
      residual_(length),
      optimizer_(options.sgd, length),
      publisher_(std::move(publisher)),
      slots_(options.worker_count) {}

absl::Status BucketState::Check(const Contribution& contribution) const {
  if (contribution.rank >= slots_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", contribution.rank, " is outside the ", slots_.size(), " workers"));
  }
  const bool retry_of_last = contribution.step + 1 == version_;
  if (contribution.step != version_ && !retry_of_last) {
    return absl::FailedPreconditionError(
        absl::StrCat("step ", contribution.step, " does not fit: this bucket is at step ", version_));
  }
  if (contribution.base_version != contribution.step) {
    return absl::FailedPreconditionError(absl::StrCat("base version ", contribution.base_version, " does not fit step ",
                                                      contribution.step, ": in synchronous training they are equal"));
  }
  if (retry_of_last || contribution.update.empty()) return absl::OkStatus();
  return ValidateUpdate(contribution.update, length_).status();
}

std::optional<RoundTiming> BucketState::Exchange(const Contribution& contribution, ExchangeDone done) {
  std::vector<ExchangeDone> answered;
  absl::StatusOr<ExchangeAnswer> answer = ExchangeAnswer{};
  std::optional<RoundTiming> timing;
  {
    absl::MutexLock lock(&mutex_);
    absl::Status status = closed_.ok() ? Check(contribution) : closed_;
    if (!status.ok()) {
      answer = status;
      answered.push_back(std::move(done));
    } else if (contribution.step != version_) {
      answer = last_answer_;
      answered.push_back(std::move(done));
    } else {
      Slot& slot = slots_[contribution.rank];
      slot.waiting.push_back(std::move(done));
      if (!slot.contributed) {
        slot.contributed = true;
        slot.contribution = contribution;
        if (contributed_++ == 0) open_since_ = absl::Now();
      }
      if (contributed_ < slots_.size()) return std::nullopt;

      const absl::Time complete = absl::Now();
      status = CloseRound();
      if (status.ok()) {
        answer = last_answer_;
        timing = RoundTiming{complete - open_since_, absl::Now() - complete, last_answer_.refused};
      } else {
        closed_ = status;
        answer = status;
      }
      for (Slot& ready : slots_) {
        std::move(ready.waiting.begin(), ready.waiting.end(), std::back_inserter(answered));
        ready = Slot{};
      }
      contributed_ = 0;
      open_since_ = absl::InfiniteFuture();
    }
  }
  for (ExchangeDone& call : answered) call(answer);
  return timing;
}

absl::Status BucketState::SumContributions(absl::Span<float> sum) const {
  for (const Slot& slot : slots_) {  // rank order: float addition is not associative
    if (slot.contribution.update.empty()) continue;
    if (absl::Status status = AddUpdate(slot.contribution.update, sum); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status BucketState::CloseRound() {
  auto update = std::make_shared<std::string>();
  const bool refused =
      std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.contribution.non_finite; });
  if (!refused) {
    std::vector<float>& sum = ThreadSum(length_);
    if (absl::Status status = SumContributions(absl::MakeSpan(sum)); !status.ok()) return status;
    if (version_ == 0) {
      published_ = sum;
      EncodeDense(absl::MakeSpan(sum), ValueEncoding::kFp32, update.get());
    } else {
      const float scale = 1.0f / static_cast<float>(slots_.size());
      for (float& value : sum) value *= scale;
      optimizer_.Step(absl::MakeSpan(sum), published_, residual_);
      absl::StatusOr<CompressResult> compressed = publisher_->Compress(sum, absl::MakeSpan(residual_), update.get());
      if (!compressed.ok()) {
        return absl::FailedPreconditionError(absl::StrCat("the weights diverged in step ", version_, ": ",
                                                          compressed.status().message(),
                                                          "; lower the learning rate and start again"));
      }
      if (absl::Status status = AddUpdate(*update, absl::MakeSpan(published_)); !status.ok()) return status;
    }
  }
  ++version_;
  last_answer_ = ExchangeAnswer{version_, std::move(update), refused};
  return absl::OkStatus();
}

void BucketState::Close(const absl::Status& why) {
  std::vector<ExchangeDone> ended;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_.ok()) closed_ = why;
    for (Slot& slot : slots_) {
      std::move(slot.waiting.begin(), slot.waiting.end(), std::back_inserter(ended));
      slot = Slot{};
    }
    contributed_ = 0;
    open_since_ = absl::InfiniteFuture();
  }
  for (ExchangeDone& call : ended) call(why);
}

uint64_t BucketState::version() const {
  absl::MutexLock lock(&mutex_);
  return version_;
}

BucketState::Waiting BucketState::waiting() const {
  absl::MutexLock lock(&mutex_);
  Waiting waiting;
  if (contributed_ == 0) return waiting;
  waiting.since = open_since_;
  for (uint32_t rank = 0; rank < slots_.size(); ++rank) {
    if (!slots_[rank].contributed) waiting.ranks.push_back(rank);
  }
  return waiting;
}

uint64_t BucketState::Read(std::vector<float>* published) const {
  absl::MutexLock lock(&mutex_);
  *published = published_;
  return version_;
}

uint32_t BucketState::Checksum(uint32_t crc) const {
  absl::MutexLock lock(&mutex_);
  return Crc32c(published_.data(), published_.size() * sizeof(float), crc);
}

}  // namespace cddp
