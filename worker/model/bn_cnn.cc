#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "worker/model/models.h"

namespace cddp {
namespace {

torch::nn::Conv2d Halving(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(2).padding(1).bias(false));
}

class BnCnn : public Classifier {
 public:
  explicit BnCnn(const ImageOptions& options)
      : conv1_(register_module("conv1", Halving(1, 16))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(16))),
        conv2_(register_module("conv2", Halving(16, 32))),
        bn2_(register_module("bn2", torch::nn::BatchNorm2d(32))),
        fc_(register_module("fc",
                            torch::nn::Linear(32 * Extent(options.rows) * Extent(options.cols), options.classes))) {}

  torch::Tensor forward(const torch::Tensor& images) override {
    const torch::Tensor hidden = bn1_(conv1_(images)).relu_();
    return fc_(bn2_(conv2_(hidden)).relu_().flatten(1));
  }

 private:
  // The extent after two halvings.
  static int64_t Extent(int64_t pixels) { return (pixels + 3) / 4; }

  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  torch::nn::Conv2d conv2_;
  torch::nn::BatchNorm2d bn2_;
  torch::nn::Linear fc_;
};

}  // namespace

std::shared_ptr<Classifier> MakeBnCnn(const ImageOptions& options) { return std::make_shared<BnCnn>(options); }

}  // namespace cddp
