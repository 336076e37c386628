// BucketCore as bytes, for snapshots and checkpoints.

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"
#include "server/bucket_core.h"

namespace cddp {
namespace {

constexpr uint64_t kNeverRecovered = UINT64_MAX;

// None for an empty one, which is zero.
absl::StatusOr<std::optional<CheckedUpdate>> CheckSaved(const SharedBytes& update, uint32_t length) {
  if (update.empty()) return std::optional<CheckedUpdate>();
  const absl::StatusOr<CheckedUpdate> checked = CheckedUpdate::Check(update.view(), length);
  if (!checked.ok()) return absl::DataLossError(absl::StrCat("holds a bad update: ", checked.status().message()));
  return std::optional<CheckedUpdate>(*checked);
}

}  // namespace

void BucketCore::Save(std::string* state) const {
  state->clear();
  ByteWriter to(state);
  to.Put<uint64_t>(version_);
  weights_->Save(to);
  to.PutFloats(late_);
  const std::vector<absl::string_view> updates = log_.Updates();
  to.Put<uint32_t>(static_cast<uint32_t>(updates.size()));
  for (const absl::string_view update : updates) to.PutBytes(update);
  to.Put<uint32_t>(static_cast<uint32_t>(slots_.size()));
  for (const Slot& slot : slots_) {
    to.Put<uint8_t>(slot.active);
    slot.steps.Save(to);
    to.Put<uint64_t>(slot.clock);
    to.Put<uint8_t>(slot.last_refused);
    to.Put<float>(slot.usual_weight);
    to.Put<float>(slot.weight);
    to.Put<uint8_t>(slot.contributed);
    to.Put<uint8_t>(slot.non_finite);
    to.PutBytes(slot.update.has_value() ? slot.update->bytes() : absl::string_view());
  }
  SaveHeld(to);
}

void BucketCore::SaveHeld(ByteWriter& to) const {
  const bool holds = std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.ahead.has_value(); });
  if (!holds && !recovered_.has_value()) return;
  to.Put<uint64_t>(recovered_.value_or(kNeverRecovered));
  for (uint32_t rank = 0; rank < slots_.size(); ++rank) {
    if (!slots_[rank].ahead.has_value()) continue;
    const Contribution& held = slots_[rank].ahead->contribution;
    to.Put<uint32_t>(rank);
    to.Put<uint64_t>(held.step);
    to.Put<uint8_t>(held.non_finite);
    to.Put<uint8_t>(held.weight.has_value());
    to.Put<float>(held.weight.value_or(0));
    to.PutBytes(held.update.view());
  }
}

absl::Status BucketCore::LoadHeld(ByteReader& from) {
  if (from.left().empty()) return absl::OkStatus();
  if (const auto recovered = from.Get<uint64_t>(); recovered != kNeverRecovered) recovered_ = recovered;
  while (from.ok() && !from.left().empty()) {
    Contribution held;
    held.rank = from.Get<uint32_t>();
    held.step = held.base_version = from.Get<uint64_t>();
    held.non_finite = from.Get<uint8_t>() != 0;
    const bool has_weight = from.Get<uint8_t>() != 0;
    const auto weight = from.Get<float>();
    if (has_weight) held.weight = weight;
    held.update = SharedBytes::Own(std::string(from.GetBytes()));
    if (!from.ok() || held.rank >= slots_.size() || !Check(held).ok() || !IsTakenBack(held)) {
      from.Fail();
      break;
    }
    const absl::StatusOr<std::optional<CheckedUpdate>> update = CheckSaved(held.update, length_);
    if (!update.ok()) return update.status();
    slots_[held.rank].ahead = Ahead{held, *update, {}};
  }
  return absl::OkStatus();
}

absl::Status BucketCore::Load(absl::string_view state) {
  ByteReader from(state);
  version_ = from.Get<uint64_t>();
  weights_->Load(from);
  if (const absl::string_view late = from.GetBytes(); !late.empty()) {
    late_.resize(length_);
    if (late.size() != length_ * sizeof(float)) from.Fail();
    if (from.ok()) std::memcpy(late_.data(), late.data(), late.size());
  }
  std::vector<absl::string_view> updates;
  for (uint32_t left = from.Get<uint32_t>(); left > 0 && from.ok(); --left) {
    updates.push_back(from.GetBytes());
  }
  log_.Restore(version_, updates);
  if (from.Get<uint32_t>() != slots_.size()) from.Fail();
  for (Slot& slot : slots_) {
    slot.active = from.Get<uint8_t>() != 0;
    slot.steps.Load(from);
    slot.clock = from.Get<uint64_t>();
    slot.last_refused = from.Get<uint8_t>() != 0;
    slot.usual_weight = from.Get<float>();
    slot.weight = from.Get<float>();
    slot.contributed = from.Get<uint8_t>() != 0;
    slot.non_finite = from.Get<uint8_t>() != 0;
    if (slot.contributed) ++contributed_;
    const absl::string_view update = from.GetBytes();
    if (update.empty() || !from.ok()) continue;
    slot.bytes = SharedBytes::Own(std::string(update));
    const absl::StatusOr<std::optional<CheckedUpdate>> checked = CheckSaved(slot.bytes, length_);
    if (!checked.ok()) return checked.status();
    slot.update = *checked;
  }
  if (absl::Status status = LoadHeld(from); !status.ok()) return status;
  if (!from.ok() || !from.left().empty()) {
    return absl::DataLossError(absl::StrCat("holds a state that does not fit bucket ", options_.bucket));
  }
  return absl::OkStatus();
}

}  // namespace cddp
