#include "worker/trainer/training_data.h"

#include <utility>

#include "common/codec/crc32c.h"
#include "common/config/model_names.h"
#include "worker/data/array_dataset.h"
#include "worker/data/dataset.h"
#include "worker/data/text_dataset.h"
#include "worker/model/shapes_model.h"

namespace cddp {
namespace {

class Images final : public TrainingData {
 public:
  explicit Images(ImageDataset data) : data_(std::move(data)) {}
  uint64_t train_examples() const override { return data_.train.count(); }
  uint32_t stride() const override { return 1; }
  uint32_t checksum() const override { return Checksum(data_.train); }
  absl::StatusOr<std::unique_ptr<TrainingModel>> MakeModel(const ModelOptions& options) const override {
    return TrainingModel::Create(options, &data_);
  }

 private:
  const ImageDataset data_;
};

class Text final : public TrainingData {
 public:
  explicit Text(TextDataset data) : data_(std::move(data)) {}
  uint64_t train_examples() const override { return data_.train_windows(); }
  uint32_t stride() const override { return data_.context; }
  uint32_t checksum() const override { return Crc32c(data_.train.data(), data_.train.size()); }
  absl::StatusOr<std::unique_ptr<TrainingModel>> MakeModel(const ModelOptions& options) const override {
    return TrainingModel::Create(options, &data_);
  }

 private:
  const TextDataset data_;
};

class ArrayExamples final : public TrainingData {
 public:
  explicit ArrayExamples(ArrayDataset data) : data_(std::move(data)) {}
  uint64_t train_examples() const override { return data_.train_inputs.count(); }
  uint32_t stride() const override { return 1; }
  uint32_t checksum() const override { return Checksum(data_); }
  absl::StatusOr<std::unique_ptr<TrainingModel>> MakeModel(const ModelOptions& options) const override {
    return TrainingModel::Create(options, &data_);
  }

 private:
  const ArrayDataset data_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingData>> TrainingData::Load(const TrainingDataOptions& options) {
  const DatasetLimits limits = {options.train_examples, options.test_examples};
  if (options.model == kGptName) {
    if (options.data.empty()) {
      return absl::InvalidArgumentError("--model=gpt learns text: name a file or folder of it with --data");
    }
    if (absl::Status status = Validate(options.gpt); !status.ok()) return status;
    absl::StatusOr<TextDataset> data = LoadTextDataset(options.data, options.gpt.context, limits);
    if (!data.ok()) return data.status();
    return std::make_unique<Text>(*std::move(data));
  }
  if (IsModelFile(options.model) && !options.data.empty()) {
    absl::StatusOr<ArrayDataset> data = LoadArrayDataset(options.data, limits);
    if (!data.ok()) return data.status();
    return std::make_unique<ArrayExamples>(*std::move(data));
  }
  absl::StatusOr<ImageDataset> data =
      IsShapesModel(options.model) ? BlankDataset(options.train_examples) : LoadImageDataset(options.data_dir, limits);
  if (!data.ok()) return data.status();
  return std::make_unique<Images>(*std::move(data));
}

}  // namespace cddp
