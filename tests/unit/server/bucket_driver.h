// Drives one BucketState and keeps its answers.

#ifndef TESTS_UNIT_SERVER_BUCKET_DRIVER_H_
#define TESTS_UNIT_SERVER_BUCKET_DRIVER_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"
#include "server/bucket_state.h"

namespace cddp {

inline constexpr uint32_t kBucketLength = 8;

inline std::string Dense(std::vector<float> values) {
  std::string bytes;
  EncodeDense(absl::MakeSpan(values), ValueEncoding::kFp32, &bytes);
  return bytes;
}

// Plain SGD with lr 1: the weights move by minus the mean gradient.
inline BucketOptions DenseOptions(uint32_t workers, double publish_ratio = 1) {
  BucketOptions options;
  options.worker_count = workers;
  options.optimizer.lr.base = 1;
  options.optimizer.momentum = 0;
  options.publish.ratio = publish_ratio;
  options.publish.value_encoding = ValueEncoding::kFp32;
  return options;
}

class BucketDriver {
 public:
  explicit BucketDriver(const BucketOptions& options, uint32_t length = kBucketLength)
      : state_(*BucketState::Create(length, options)) {}

  // Pushes and returns the call's number. Without a base version it is the step, as in synchronous training.
  size_t Push(uint32_t rank, uint64_t step, std::string update, std::optional<uint64_t> base_version = std::nullopt,
              bool non_finite = false, std::optional<uint32_t> replica_crc32c = std::nullopt) {
    return Push(
        {rank, step, base_version.value_or(step), SharedBytes::Own(std::move(update)), non_finite, replica_crc32c});
  }

  size_t PushWeighted(float weight, uint32_t rank, uint64_t step, std::string update,
                      std::optional<uint64_t> base_version = std::nullopt) {
    return Push(
        {rank, step, base_version.value_or(step), SharedBytes::Own(std::move(update)), false, std::nullopt, weight});
  }

  size_t Push(const Contribution& contribution) {
    const size_t call = answers_.size();
    answers_.emplace_back();
    timing_ = state_->Exchange(contribution, [this, call](const absl::StatusOr<ExchangeAnswer>& answer) {
      EXPECT_FALSE(answers_[call].has_value()) << "answered twice";
      answers_[call] = answer;
    });
    return call;
  }

  bool answered(size_t call) const { return answers_[call].has_value(); }
  const ExchangeAnswer& answer(size_t call) const { return **answers_[call]; }
  absl::Status error(size_t call) const { return answers_[call]->status(); }

  // Brings a replica of the call's base version to the answer's; false if an update does not decode.
  bool ApplyAnswer(size_t call, std::vector<float>* replica) const {
    if (answer(call).replaces) replica->assign(replica->size(), -0.0f);
    for (const SharedBytes& update : UpdatesOfAll(answer(call).updates)) {
      if (!AddUpdate(update.view(), absl::MakeSpan(*replica)).ok()) return false;
    }
    return true;
  }

  std::vector<float> weights() const { return state_->Read().weights; }

  // Of the last Push, if it closed a round.
  const std::optional<RoundTiming>& timing() const { return timing_; }

  BucketState& state() { return *state_; }

 private:
  std::vector<std::optional<absl::StatusOr<ExchangeAnswer>>> answers_;
  std::optional<RoundTiming> timing_;
  std::unique_ptr<BucketState> state_;
};

}  // namespace cddp

#endif  // TESTS_UNIT_SERVER_BUCKET_DRIVER_H_
