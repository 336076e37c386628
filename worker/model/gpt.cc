#include "worker/model/gpt.h"

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace cddp {
namespace {

namespace nn = torch::nn;

constexpr int64_t kBytes = 256;  // values of a position
constexpr double kDeviation = 0.02;

nn::LayerNorm Norm(int64_t dim) { return nn::LayerNorm(nn::LayerNormOptions({dim})); }

class Attention : public nn::Module {
 public:
  Attention(int64_t dim, int64_t heads, int64_t context)
      : heads_(heads),
        c_attn_(register_module("c_attn", nn::Linear(dim, 3 * dim))),
        c_proj_(register_module("c_proj", nn::Linear(dim, dim))),
        // Not a buffer, since it is not part of the model's state.
        later_(torch::full({context, context}, -std::numeric_limits<float>::infinity()).triu(1)) {}

  torch::Tensor forward(const torch::Tensor& input) {
    const int64_t batch = input.size(0), length = input.size(1), dim = input.size(2);
    const int64_t width = dim / heads_;
    // [batch, length, 3, heads, width] -> three of [batch, heads, length, width]
    const torch::Tensor parts = c_attn_(input).view({batch, length, 3, heads_, width}).permute({2, 0, 3, 1, 4});
    const torch::Tensor query = parts[0] * (1 / std::sqrt(static_cast<double>(width)));
    if (later_.device() != input.device()) later_ = later_.to(input.device());
    const torch::Tensor scores =
        query.matmul(parts[1].transpose(2, 3)) + later_.slice(0, 0, length).slice(1, 0, length);
    const torch::Tensor mixed = scores.softmax(-1).matmul(parts[2]);
    return c_proj_(mixed.transpose(1, 2).reshape({batch, length, dim}));
  }

 private:
  const int64_t heads_;
  nn::Linear c_attn_;
  nn::Linear c_proj_;
  torch::Tensor later_;  // minus infinity where a position would attend to a later one
};

class Perceptron : public nn::Module {
 public:
  explicit Perceptron(int64_t dim)
      : c_fc_(register_module("c_fc", nn::Linear(dim, 4 * dim))),
        c_proj_(register_module("c_proj", nn::Linear(4 * dim, dim))) {}

  torch::Tensor forward(const torch::Tensor& input) { return c_proj_(torch::gelu(c_fc_(input))); }

 private:
  nn::Linear c_fc_;
  nn::Linear c_proj_;
};

class Block : public nn::Module {
 public:
  Block(int64_t dim, int64_t heads, int64_t context)
      : ln_1_(register_module("ln_1", Norm(dim))),
        attn_(register_module("attn", std::make_shared<Attention>(dim, heads, context))),
        ln_2_(register_module("ln_2", Norm(dim))),
        mlp_(register_module("mlp", std::make_shared<Perceptron>(dim))) {}

  torch::Tensor forward(const torch::Tensor& input) {
    const torch::Tensor attended = input + attn_->forward(ln_1_(input));
    return attended + mlp_->forward(ln_2_(attended));
  }

 private:
  nn::LayerNorm ln_1_;
  std::shared_ptr<Attention> attn_;
  nn::LayerNorm ln_2_;
  std::shared_ptr<Perceptron> mlp_;
};

class Transformer : public nn::Module {
 public:
  Transformer(const GptOptions& options, int64_t heads)
      : wte_(register_module("wte", nn::Embedding(kBytes, options.dim))),
        wpe_(register_module("wpe", nn::Embedding(options.context, options.dim))),
        h_(register_module("h", nn::ModuleList())),
        ln_f_(Norm(options.dim)) {
    for (uint32_t layer = 0; layer < options.layers; ++layer) {
      layers_.push_back(std::make_shared<Block>(options.dim, heads, options.context));
      h_->push_back(layers_.back());
    }
    register_module("ln_f", ln_f_);
  }

  torch::Tensor forward(const torch::Tensor& bytes) {
    torch::Tensor hidden = wte_(bytes) + wpe_(torch::arange(bytes.size(1), bytes.options()));
    for (const auto& layer : layers_) hidden = layer->forward(hidden);
    return ln_f_(hidden);
  }

 private:
  nn::Embedding wte_;
  nn::Embedding wpe_;
  nn::ModuleList h_;
  std::vector<std::shared_ptr<Block>> layers_;
  nn::LayerNorm ln_f_;
};

class Gpt : public Classifier {
 public:
  explicit Gpt(const GptOptions& options)
      : transformer_(register_module("transformer", std::make_shared<Transformer>(options, HeadsOf(options)))),
        lm_head_(register_module("lm_head", nn::Linear(nn::LinearOptions(options.dim, kBytes).bias(false)))) {
    const torch::NoGradGuard no_grad;
    const double back = kDeviation / std::sqrt(2.0 * options.layers);
    for (auto& parameter : named_parameters()) {
      torch::Tensor& value = parameter.value();
      const bool is_projection = parameter.key().find("c_proj.weight") != std::string::npos;
      if (value.dim() > 1) {
        value.normal_(0, is_projection ? back : kDeviation);
      } else if (parameter.key().find("ln_") == std::string::npos) {
        value.zero_();
      }
    }
  }

  torch::Tensor forward(const torch::Tensor& bytes) override { return lm_head_(transformer_->forward(bytes)); }

 private:
  std::shared_ptr<Transformer> transformer_;
  nn::Linear lm_head_;
};

}  // namespace

std::shared_ptr<Classifier> MakeGpt(const GptOptions& options) { return std::make_shared<Gpt>(options); }

}  // namespace cddp
