#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "worker/model/models.h"

namespace cddp {
namespace {

torch::nn::Conv2d Convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

class BasicBlock : public torch::nn::Module {
 public:
  BasicBlock(int64_t in, int64_t out, int64_t stride)
      : conv1_(register_module("conv1", Convolution(in, out, 3, stride))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(out))),
        conv2_(register_module("conv2", Convolution(out, out, 3, 1))),
        bn2_(register_module("bn2", torch::nn::BatchNorm2d(out))) {
    if (stride != 1 || in != out) {
      downsample_ = register_module(
          "downsample", torch::nn::Sequential(Convolution(in, out, 1, stride), torch::nn::BatchNorm2d(out)));
    }
  }

  torch::Tensor forward(const torch::Tensor& input) {
    torch::Tensor hidden = bn1_(conv1_(input)).relu_();
    hidden = bn2_(conv2_(hidden));
    hidden += downsample_.is_empty() ? input : downsample_->forward(input);
    return hidden.relu_();
  }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  torch::nn::Conv2d conv2_;
  torch::nn::BatchNorm2d bn2_;
  torch::nn::Sequential downsample_{nullptr};  // only where the shape changes
};

torch::nn::Sequential Stage(int64_t in, int64_t out, int64_t stride) {
  return torch::nn::Sequential(std::make_shared<BasicBlock>(in, out, stride),
                               std::make_shared<BasicBlock>(out, out, 1));
}

class Resnet18 : public Classifier {
 public:
  explicit Resnet18(const ImageOptions& options)
      : conv1_(register_module("conv1", Convolution(1, 64, 7, 2))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(64))),
        layer1_(register_module("layer1", Stage(64, 64, 1))),
        layer2_(register_module("layer2", Stage(64, 128, 2))),
        layer3_(register_module("layer3", Stage(128, 256, 2))),
        layer4_(register_module("layer4", Stage(256, 512, 2))),
        fc_(register_module("fc", torch::nn::Linear(512, options.classes))) {
    for (const std::shared_ptr<torch::nn::Module>& module : modules(/*include_self=*/false)) {
      if (auto* convolution = module->as<torch::nn::Conv2d>()) {
        torch::nn::init::kaiming_normal_(convolution->weight, 0, torch::kFanOut, torch::kReLU);
      }
    }
  }

  torch::Tensor forward(const torch::Tensor& images) override {
    torch::Tensor hidden = bn1_(conv1_(images)).relu_();
    hidden = torch::max_pool2d(hidden, 3, 2, 1);
    hidden = layer4_->forward(layer3_->forward(layer2_->forward(layer1_->forward(hidden))));
    return fc_(hidden.mean({2, 3}));
  }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  torch::nn::Sequential layer1_;
  torch::nn::Sequential layer2_;
  torch::nn::Sequential layer3_;
  torch::nn::Sequential layer4_;
  torch::nn::Linear fc_;
};

}  // namespace

std::shared_ptr<Classifier> MakeResnet18(const ImageOptions& options) { return std::make_shared<Resnet18>(options); }

}  // namespace cddp
