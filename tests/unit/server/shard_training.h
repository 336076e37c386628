// A shard on files in memory and its workers, for tests that take it from its training at any moment.

#ifndef TESTS_UNIT_SERVER_SHARD_TRAINING_H_
#define TESTS_UNIT_SERVER_SHARD_TRAINING_H_

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/shard.h"
#include "tests/unit/journal/faulty_files.h"
#include "tests/unit/server/bucket_driver.h"

namespace cddp {

inline constexpr uint32_t kWorkers = 2;
inline constexpr uint64_t kSteps = 12;

inline ParameterLayout Layout() { return *ParameterLayout::Create({{"a", {10}}, {"b", {5}}}, 8); }

inline std::string Gradient(uint32_t rank, uint32_t bucket, uint64_t step, uint32_t length) {
  std::mt19937 random(static_cast<uint32_t>(step * 100 + uint64_t{bucket} * 10 + rank));
  std::vector<float> values(length);
  // Two thirds are not pushed.
  for (float& value : values) value = random() % 3 != 0 ? 0 : std::normal_distribution<float>()(random);
  return Dense(values);
}

// What a test chooses of a shard.
struct TrainingOptions {
  OptimizerKind optimizer = OptimizerKind::kSgd;
  Durability durability = Durability::kVersion;
  uint64_t restore_version = 0;
  uint32_t quorum = 0;
  double publish_ratio = kPublishAllPushed;
};

// A shard on files in memory, and its workers.
class Training {
 public:
  Training(FaultyFiles* files, const TrainingOptions& options) : metrics_(0, kWorkers) {
    ShardOptions shard;
    shard.worker_count = kWorkers;
    shard.optimizer.kind = options.optimizer;
    shard.consistency.quorum = options.quorum;
    shard.publish.ratio = options.publish_ratio;
    shard.state_dir = "state";
    shard.durability = options.durability;
    shard.restore_version = options.restore_version;
    shard.files = files;
    shard_ = std::make_unique<Shard>(shard, &metrics_);
  }

  absl::Status Start() {
    absl::Status status = shard_->Recover();
    for (uint32_t rank = 0; rank < kWorkers && status.ok(); ++rank) {
      status = shard_->Join(rank, 1, kWorkers, Layout()).status();
    }
    return status;
  }

  // A contribution whose answer nobody waits for.
  void Push(uint32_t rank, uint32_t bucket, uint64_t step) {
    pushed_.push_back(std::make_unique<Call>());
    Exchange(rank, bucket, step, pushed_.back().get());
  }

  // All workers make the rounds before `end` that are not made yet, bucket by bucket; snapshots and a checkpoint come
  // between the contributions of a round. The first error ends it.
  absl::Status TrainUntil(uint64_t end) {
    while (true) {
      const ShardStatus status = shard_->status();
      if (status.min_version >= end) return absl::OkStatus();
      if (absl::Status round = MakeRound(status.min_version); !round.ok()) return round;
      // Of both workers of every bucket, so all have been told.
      answered_ = status.min_version + 1;
    }
  }

  absl::Status MakeRound(uint64_t step) {
    for (uint32_t bucket = 0; bucket < Layout().bucket_count(); ++bucket) {
      Call calls[kWorkers];
      for (uint32_t rank = 0; rank < kWorkers; ++rank) {
        Exchange(rank, bucket, step, &calls[rank]);
        if (rank == 0 && bucket == 1 && step % 3 == 1) shard_->WriteSnapshot().IgnoreError();
      }
      absl::Status status;
      for (Call& call : calls) {
        status.Update(call.answer->get_future().get());
      }
      if (!status.ok()) return status;
    }
    if (step == 4) {  // a checkpoint of the version after the next
      shard_->WriteCheckpoint(6, [this](const absl::Status& status) { checkpoint_ = status; });
    }
    shard_->WriteDueFiles();
    return absl::OkStatus();
  }

  ~Training() { shard_->Close(absl::UnavailableError("the test ends")); }

  Shard& shard() { return *shard_; }
  uint64_t answered() const { return answered_; }
  absl::Status checkpoint() const { return checkpoint_; }

 private:
  struct Call {
    std::shared_ptr<std::promise<absl::Status>> answer = std::make_shared<std::promise<absl::Status>>();
  };

  void Exchange(uint32_t rank, uint32_t bucket, uint64_t step, Call* call) {
    SharedBytes update;
    if (step > 0 || rank == 0) {
      update = SharedBytes::Own(Gradient(rank, bucket, step, Layout().bucket_length(bucket)));
    }
    shard_->Exchange(
        1, shard_->view(), bucket, {rank, step, step, update},
        [told = call->answer](const absl::StatusOr<ExchangeAnswer>& answer) { told->set_value(answer.status()); });
  }

  std::vector<std::unique_ptr<Call>> pushed_;
  ServerMetrics metrics_;
  std::unique_ptr<Shard> shard_;
  uint64_t answered_ = 0;
  absl::Status checkpoint_ = absl::UnknownError("not asked for");
};

// Checksums of an undisturbed run, by version.
inline std::map<uint64_t, uint32_t> Calm(const TrainingOptions& options) {
  FaultyFiles files;
  Training training(&files, options);
  EXPECT_TRUE(training.Start().ok());
  std::map<uint64_t, uint32_t> checksums;
  for (uint64_t version = 1; version <= kSteps; ++version) {
    EXPECT_TRUE(training.TrainUntil(version).ok());
    checksums[version] = training.shard().Checksum();
  }
  return checksums;
}

}  // namespace cddp

#endif  // TESTS_UNIT_SERVER_SHARD_TRAINING_H_
