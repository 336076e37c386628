#include <torch/nn/modules/linear.h>

#include "worker/model/models.h"

namespace cddp {
namespace {

class Mlp : public Classifier {
 public:
  explicit Mlp(const ImageOptions& options)
      : fc1_(register_module("fc1", torch::nn::Linear(options.rows * options.cols, 256))),
        fc2_(register_module("fc2", torch::nn::Linear(256, 128))),
        fc3_(register_module("fc3", torch::nn::Linear(128, options.classes))) {}

  torch::Tensor forward(const torch::Tensor& images) override {
    const torch::Tensor hidden = fc1_(images.flatten(1)).relu_();
    return fc3_(fc2_(hidden).relu_());
  }

 private:
  torch::nn::Linear fc1_;
  torch::nn::Linear fc2_;
  torch::nn::Linear fc3_;
};

}  // namespace

std::shared_ptr<Classifier> MakeMlp(const ImageOptions& options) { return std::make_shared<Mlp>(options); }

}  // namespace cddp
