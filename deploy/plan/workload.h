// Every worker's pushes in one step: buckets, the times at which their gradients are ready, their updates' lengths.

#ifndef DEPLOY_PLAN_WORKLOAD_H_
#define DEPLOY_PLAN_WORKLOAD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/codec/encoding.h"

namespace cddp::plan {

// A tensor as `model_shapes` prints it.
struct CostedTensor {
  uint64_t elements = 0;
  double cost = 0;  // part of the backward pass that ends with its gradient, in any unit
};

// Reads a JSON list of {"shape": [...], "cost": number}. InvalidArgument says what is wrong.
absl::StatusOr<std::vector<CostedTensor>> ParseShapes(absl::string_view json);

// A model of known size only: the backward pass is spread evenly over its parameters.
std::vector<CostedTensor> EvenModel(uint64_t elements);

struct Bucket {
  uint64_t elements = 0;
  double ready = 0;  // when its gradients are complete, as part of a forward and backward pass, in (0, 1]
};

// In the order of the parameter space; 0 for `bucket_elements` is the default of ParameterLayout.
std::vector<Bucket> MakeBuckets(const std::vector<CostedTensor>& model, uint64_t bucket_elements);

// The number of a bucket's elements that an update holds.
uint64_t SelectedOf(uint64_t elements, double ratio);

// Bytes of an update of `elements` elements, as the codec makes them from values spread evenly.
double UpdateBytes(uint64_t elements, double ratio, ValueEncoding values, IndexEncoding indices);

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_WORKLOAD_H_
