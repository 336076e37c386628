#include "worker/model/batches.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <string>

#include "worker/model/torch_device.h"

namespace cddp {
namespace {

// In host memory, pinned if there is a GPU, so that copies to it are asynchronous.
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
  TargetRange target_range() const override { return {0, static_cast<double>(data_.classes) - 1}; }

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
  TargetRange target_range() const override { return {0, 255}; }

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

at::ScalarType TorchType(ElementType type) {
  switch (type) {
    case ElementType::kBool:
      return at::kBool;
    case ElementType::kUint8:
      return at::kByte;
    case ElementType::kInt8:
      return at::kChar;
    case ElementType::kInt16:
      return at::kShort;
    case ElementType::kInt32:
      return at::kInt;
    case ElementType::kInt64:
      return at::kLong;
    case ElementType::kFloat16:
      return at::kHalf;
    case ElementType::kBfloat16:
      return at::kBFloat16;
    case ElementType::kFloat32:
      return at::kFloat;
    case ElementType::kFloat64:
      return at::kDouble;
  }
  return at::kFloat;
}

// The array's own memory.
torch::Tensor ViewOf(const Array& array) {
  return at::from_blob(const_cast<char*>(array.bytes.data()), array.shape, TorchType(array.type));
}

class ArrayBatches final : public Batches {
 public:
  ArrayBatches(const ArrayDataset* data, const Device& device)
      : train_inputs_(ViewOf(data->train_inputs)),
        train_targets_(ViewOf(data->train_targets)),
        test_inputs_(ViewOf(data->test_inputs)),
        test_targets_(ViewOf(data->test_targets)),
        device_(device) {}

  uint64_t train_end() const override { return static_cast<uint64_t>(train_inputs_.size(0)); }
  Batch Train(absl::Span<const uint32_t> examples) const override {
    torch::Tensor indices = at::empty({static_cast<int64_t>(examples.size())}, at::kLong);
    std::copy(examples.begin(), examples.end(), indices.data_ptr<int64_t>());
    return Make(train_inputs_.index_select(0, indices), train_targets_.index_select(0, indices));
  }
  uint64_t test_count() const override { return static_cast<uint64_t>(test_inputs_.size(0)); }
  uint64_t test_part() const override { return 100; }
  Batch Test(uint64_t begin, uint64_t count) const override {
    const auto first = static_cast<int64_t>(begin);
    const auto length = static_cast<int64_t>(count);
    return Make(test_inputs_.narrow(0, first, length), test_targets_.narrow(0, first, length));
  }
  bool has_accuracy() const override { return true; }
  TargetRange target_range() const override {
    TargetRange range = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    for (const torch::Tensor& all : {train_targets_, test_targets_}) {
      const torch::Tensor targets = all.masked_select(all.ne(kLeftOut)).to(at::kDouble);
      if (targets.numel() == 0) continue;
      range.least = std::min(range.least, targets.min().item<double>());
      range.most = std::max(range.most, targets.max().item<double>());
    }
    return range;
  }

 private:
  static constexpr int kLeftOut = -100;

  Batch Make(torch::Tensor inputs, torch::Tensor targets) const {
    const bool is_byte = inputs.scalar_type() == at::kByte;
    const bool counts = c10::isIntegralType(inputs.scalar_type(), /*includeBool=*/false) && !is_byte;
    inputs = inputs.to(counts ? at::kLong : at::kFloat);
    if (is_byte) inputs = inputs / 255;
    const bool are_classes = c10::isIntegralType(targets.scalar_type(), /*includeBool=*/false);
    return On(device_, {inputs, targets.to(are_classes ? at::kLong : at::kFloat)});
  }

  const torch::Tensor train_inputs_;
  const torch::Tensor train_targets_;
  const torch::Tensor test_inputs_;
  const torch::Tensor test_targets_;
  const Device device_;
};

}  // namespace

std::unique_ptr<Batches> MakeBatches(const ImageDataset* data, const Device& device) {
  return std::make_unique<ImageBatches>(data, device);
}

std::unique_ptr<Batches> MakeBatches(const TextDataset* data, const Device& device) {
  return std::make_unique<TextBatches>(data, device);
}

std::unique_ptr<Batches> MakeBatches(const ArrayDataset* data, const Device& device) {
  return std::make_unique<ArrayBatches>(data, device);
}

}  // namespace cddp
