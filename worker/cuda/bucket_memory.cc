#include "worker/cuda/bucket_memory.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "worker/cuda/search_kernels.h"

namespace cddp {

BucketMemory::~BucketMemory() {
  for (void* memory : of_plans_) queue_.Free(memory);
  for (void* memory : lasting_) queue_.Free(memory);
}

template <typename T>
bool BucketMemory::Array(uint64_t size, T** array, std::vector<void*>* owner) {
  void* memory;
  if (!queue_.Allocate(std::max<uint64_t>(size, 1) * sizeof(T), &memory)) return false;
  owner->push_back(memory);
  *array = static_cast<T*>(memory);
  return true;
}

void* BucketMemory::Allocate(size_t bytes) {
  char* memory = nullptr;
  Array(bytes, &memory, &lasting_);
  return memory;
}

absl::Status BucketMemory::Init(uint64_t elements, bool with_velocity, uint32_t buckets) {
  bool done = true;
  for (int i = 0; i < 2; ++i) {
    done = done && Array(elements, &arrays_.residuals[i], &lasting_) &&
           queue_.Zero(arrays_.residuals[i], elements * sizeof(float));
    if (!with_velocity) continue;
    done = done && Array(elements, &arrays_.velocities[i], &lasting_) &&
           queue_.Zero(arrays_.velocities[i], elements * sizeof(float));
  }
  const uint64_t slots = std::min(buckets, device::kMostSlots);
  done = done && Array(slots, &arrays_.states, &lasting_) &&
         Array(slots * device::kDigits * device::kMaxBins, &arrays_.histograms, &lasting_);
  if (done) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("device memory for the residuals of ", elements, " elements: ", queue_.error()));
}

bool BucketMemory::Copy(void* to, const void* from, size_t bytes) { return bytes == 0 || queue_.Copy(to, from, bytes); }

absl::Status BucketMemory::SetPlans(const BucketPlans& plans) {
  // The memory to free may still be in use.
  bool done = queue_.Synchronise();
  for (void* memory : of_plans_) queue_.Free(memory);
  of_plans_.clear();
  uint32_t* forced = nullptr;
  device::BucketPlan* on_device = nullptr;
  const uint64_t bytes = std::accumulate(plans.most_bytes.begin(), plans.most_bytes.end(), uint64_t{0});
  const auto array = [&](uint64_t size, auto** to) { done = done && Array(size, to, &of_plans_); };
  array(uint64_t{plans.tiles} * (device::kTile / 32), &arrays_.hits);
  array(plans.tiles, &arrays_.tile_hits);
  array(plans.candidates, &arrays_.candidate_indices);
  array(plans.candidates, &arrays_.candidate_values);
  array(plans.counts, &arrays_.tile_counts);
  array(plans.selected, &arrays_.selected_indices);
  array(plans.selected, &arrays_.selected_values);
  array(plans.escapes, &arrays_.part_escapes);
  array(bytes, &arrays_.bytes);
  array(plans.forced_bits.size(), &forced);
  array(plans.buckets.size(), &on_device);
  std::vector<device::BucketPlan> buckets = plans.buckets;
  for (size_t b = 0; b < buckets.size(); ++b) {
    if (plans.forced_at[b] != SIZE_MAX) buckets[b].forced = forced + plans.forced_at[b];
  }
  done = done && Copy(forced, plans.forced_bits.data(), plans.forced_bits.size() * sizeof(uint32_t)) &&
         Copy(on_device, buckets.data(), buckets.size() * sizeof(buckets[0])) && queue_.Synchronise();
  arrays_.plans = on_device;
  if (done) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("device memory for the candidates of ", buckets.size(), " buckets: ", queue_.error()));
}

}  // namespace cddp
