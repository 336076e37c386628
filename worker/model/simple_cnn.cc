#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "absl/strings/str_cat.h"
#include "worker/model/models.h"

namespace cddp {
namespace {

constexpr int64_t kSmallestExtent = 6;  // two 3x3 convolutions leave 2x2, pooling 1x1

int64_t PooledExtent(int64_t extent) { return (extent - 4) / 2; }

class SimpleCnn : public Classifier {
 public:
  explicit SimpleCnn(const ImageOptions& options)
      : conv1_(register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 32, 3)))),
        conv2_(register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(32, 64, 3)))),
        fc1_(register_module("fc1",
                             torch::nn::Linear(64 * PooledExtent(options.rows) * PooledExtent(options.cols), 128))),
        fc2_(register_module("fc2", torch::nn::Linear(128, options.classes))),
        dropout_(options.dropout_seed) {}

  torch::Tensor forward(const torch::Tensor& images) override {
    // oneDNN computes in channels last, and pooling vectorises over it. With one channel the two layouts hold the same
    // bytes and differ only in strides.
    const torch::Tensor channels_last = images.squeeze(1).unsqueeze(3).permute({0, 3, 1, 2});
    const torch::Tensor hidden = conv2_(conv1_(channels_last).relu_());
    // Rectifying after pooling gives the same values and gradients from a quarter of the elements. PyTorch's fc1
    // expects channels first.
    torch::Tensor pooled = torch::max_pool2d(hidden, 2).relu_().contiguous().flatten(1);
    if (is_training()) pooled = dropout_.Apply(pooled, 0.25);
    torch::Tensor features = fc1_(pooled).relu_();
    if (is_training()) features = dropout_.Apply(features, 0.5);
    return fc2_(features);
  }

  Dropout* dropout() override { return &dropout_; }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::Conv2d conv2_;
  torch::nn::Linear fc1_;
  torch::nn::Linear fc2_;
  Dropout dropout_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Classifier>> MakeSimpleCnn(const ImageOptions& options) {
  if (options.rows < kSmallestExtent || options.cols < kSmallestExtent) {
    return absl::InvalidArgumentError(absl::StrCat("simple_cnn needs images of at least ", kSmallestExtent, "x",
                                                   kSmallestExtent, " pixels, not ", options.rows, "x", options.cols));
  }
  return std::make_shared<SimpleCnn>(options);
}

}  // namespace cddp
