#include "worker/model/batches.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "worker/model/torch_device.h"

namespace cddp {
namespace {

// Of the host, in memory that a GPU copies from by itself if there is one.
torch::Tensor Empty(c10::IntArrayRef sizes, at::ScalarType type, const Device& device) {
  return at::empty(sizes, at::TensorOptions(type).pinned_memory(device.is_gpu));
}

Batch On(const Device& device, const Batch& batch) {
  if (!device.is_gpu) return batch;
  const at::TensorOptions there = at::TensorOptions().device(TorchDevice(device));
  return {batch.inputs.to(there, /*non_blocking=*/true), batch.targets.to(there, /*non_blocking=*/true)};
}

class ImageBatches final : public Batches {
 public:
  ImageBatches(const ImageDataset* data, const Device& device) : data_(*data), device_(device) {
    for (size_t pixel = 0; pixel < normalised_.size(); ++pixel) {
      normalised_[pixel] =
          static_cast<float>((static_cast<double>(pixel) / 255 - data_.pixel_mean) / data_.pixel_stddev);
    }
  }

  uint64_t train_end() const override { return data_.train.count(); }
  Batch Train(absl::Span<const uint32_t> examples) const override {
    return Make(data_.train, examples.size(), [&](uint64_t i) { return examples[i]; });
  }
  uint64_t test_count() const override { return data_.test.count(); }
  uint64_t test_part() const override { return 100; }  // small enough that its layers stay in the cache
  Batch Test(uint64_t begin, uint64_t count) const override {
    return Make(data_.test, count, [&](uint64_t i) { return begin + i; });
  }
  bool has_accuracy() const override { return true; }

 private:
  // The examples that `index_of` names for 0, 1, ...
  template <typename IndexOf>
  Batch Make(const ImageSet& set, uint64_t examples, const IndexOf& index_of) const {
    const size_t image_pixels = size_t{set.rows} * set.cols;
    const Batch batch = {Empty({static_cast<int64_t>(examples), 1, set.rows, set.cols}, torch::kFloat, device_),
                         Empty({static_cast<int64_t>(examples)}, torch::kInt64, device_)};
    float* image = batch.inputs.data_ptr<float>();
    int64_t* label = batch.targets.data_ptr<int64_t>();
    for (uint64_t i = 0; i < examples; ++i) {
      const uint64_t index = index_of(i);
      const uint8_t* pixels = set.pixels.data() + index * image_pixels;
      image =
          std::transform(pixels, pixels + image_pixels, image, [this](uint8_t pixel) { return normalised_[pixel]; });
      *label++ = set.labels[index];
    }
    return On(device_, batch);
  }

  const ImageDataset& data_;
  const Device device_;
  std::array<float, 256> normalised_;  // pixel -> input
};

class TextBatches final : public Batches {
 public:
  TextBatches(const TextDataset* data, const Device& device) : data_(*data), device_(device) {}

  uint64_t train_end() const override { return data_.train.size() - data_.context; }
  Batch Train(absl::Span<const uint32_t> examples) const override {
    return Make(data_.train, examples.size(), [&](uint64_t i) { return examples[i]; });
  }
  uint64_t test_count() const override { return data_.validation_windows(); }
  uint64_t test_part() const override { return 16; }
  Batch Test(uint64_t begin, uint64_t count) const override {
    return Make(data_.validation, count, [&](uint64_t i) { return (begin + i) * data_.context; });
  }
  bool has_accuracy() const override { return false; }

 private:
  template <typename BeginOf>
  Batch Make(const std::string& text, uint64_t examples, const BeginOf& begin_of) const {
    const std::array<int64_t, 2> shape = {static_cast<int64_t>(examples), static_cast<int64_t>(data_.context)};
    const Batch batch = {Empty(shape, torch::kInt64, device_), Empty(shape, torch::kInt64, device_)};
    int64_t* input = batch.inputs.data_ptr<int64_t>();
    int64_t* target = batch.targets.data_ptr<int64_t>();
    for (uint64_t i = 0; i < examples; ++i) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(text.data()) + begin_of(i);
      input = std::copy(bytes, bytes + data_.context, input);
      target = std::copy(bytes + 1, bytes + 1 + data_.context, target);
    }
    return On(device_, batch);
  }

  const TextDataset& data_;
  const Device device_;
};

}  // namespace

std::unique_ptr<Batches> MakeBatches(const ImageDataset* data, const Device& device) {
  return std::make_unique<ImageBatches>(data, device);
}

std::unique_ptr<Batches> MakeBatches(const TextDataset* data, const Device& device) {
  return std::make_unique<TextBatches>(data, device);
}

}  // namespace cddp
