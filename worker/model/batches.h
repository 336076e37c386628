// Examples of a data set as LibTorch's tensors.

#ifndef WORKER_MODEL_BATCHES_H_
#define WORKER_MODEL_BATCHES_H_

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "worker/data/array_dataset.h"
#include "worker/data/dataset.h"
#include "worker/data/text_dataset.h"
#include "worker/model/device.h"

namespace cddp {

struct Batch {
  torch::Tensor inputs;  // of the network, one example per row
  torch::Tensor
      targets;  // int64, for each of the network's rows of logits the right class; of arrays, whatever they say
};

// The range of all targets, of training and test.
struct TargetRange {
  double least = 0;
  double most = 0;
};

// The data must outlive it. Batches lie on the device it was made for; copies to a GPU are asynchronous.
class Batches {
 public:
  virtual ~Batches() = default;

  // Training examples below this may be requested.
  virtual uint64_t train_end() const = 0;
  virtual Batch Train(absl::Span<const uint32_t> examples) const = 0;

  // Those that measure: fixed, and counted from 0. `part`: how many are best asked for at a time.
  virtual uint64_t test_count() const = 0;
  virtual uint64_t test_part() const = 0;
  virtual Batch Test(uint64_t begin, uint64_t count) const = 0;

  // Whether the part of correct answers is meaningful.
  virtual bool has_accuracy() const = 0;

  // Without -100, which cross entropy leaves out.
  virtual TargetRange target_range() const = 0;
};

// inputs float32 [examples, 1, rows, cols], normalised; targets [examples]. Examples are identified by number.
std::unique_ptr<Batches> MakeBatches(const ImageDataset* data, const Device& device);

// inputs int64 [examples, context], targets [examples, context]: the byte after each. An example is identified by its
// first byte.
std::unique_ptr<Batches> MakeBatches(const TextDataset* data, const Device& device);

// With the arrays' shapes. inputs: float32 of floating-point numbers and bools, and of uint8, which is divided by 255;
// int64 of other integers. targets: int64 of integers, else float32. Examples are identified by number.
std::unique_ptr<Batches> MakeBatches(const ArrayDataset* data, const Device& device);

}  // namespace cddp

#endif  // WORKER_MODEL_BATCHES_H_
