// torchvision's ResNet-50 as a list: every parameter with its shape and its layer's cost of computation.

#ifndef WORKER_MODEL_RESNET50_SHAPES_H_
#define WORKER_MODEL_RESNET50_SHAPES_H_

#include <vector>

#include "common/layout/parameter_layout.h"

namespace cddp {

struct ShapedTensor {
  TensorSpec spec;
  // Multiply-adds per image of 224x224 that end with this tensor's gradient in the backward pass; normalisation, which
  // is cheap, counts with the convolution before it.
  double cost = 0;
};

// 161 tensors, 25,557,032 elements, in model order.
std::vector<ShapedTensor> Resnet50Shapes();

}  // namespace cddp

#endif  // WORKER_MODEL_RESNET50_SHAPES_H_
