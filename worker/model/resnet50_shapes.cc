#include "worker/model/resnet50_shapes.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

class Builder {
 public:
  // A convolution whose output is `extent` x `extent`, and its normalisation.
  void Convolution(const std::string& convolution, const std::string& normalisation, int64_t in, int64_t out,
                   int64_t kernel, int64_t extent) {
    const double cost = static_cast<double>(in * out * kernel * kernel * extent * extent);
    tensors_.push_back({{convolution + ".weight", {out, in, kernel, kernel}}, cost});
    tensors_.push_back({{normalisation + ".weight", {out}}});
    tensors_.push_back({{normalisation + ".bias", {out}}});
  }

  void Linear(const std::string& name, int64_t in, int64_t out) {
    tensors_.push_back({{name + ".weight", {out, in}}, static_cast<double>(in * out)});
    tensors_.push_back({{name + ".bias", {out}}});
  }

  // The block's 3x3 convolution has the stride; the first 1x1 works on the larger image.
  void Bottleneck(const std::string& name, int64_t in, int64_t width, int64_t extent, int64_t stride) {
    Convolution(name + ".conv1", name + ".bn1", in, width, 1, extent * stride);
    Convolution(name + ".conv2", name + ".bn2", width, width, 3, extent);
    Convolution(name + ".conv3", name + ".bn3", width, 4 * width, 1, extent);
    if (in != 4 * width) Convolution(name + ".downsample.0", name + ".downsample.1", in, 4 * width, 1, extent);
  }

  std::vector<ShapedTensor> Take() { return std::move(tensors_); }

 private:
  std::vector<ShapedTensor> tensors_;
};

}  // namespace

std::vector<ShapedTensor> Resnet50Shapes() {
  Builder builder;
  builder.Convolution("conv1", "bn1", 3, 64, 7, 112);
  int64_t in = 64;
  int64_t extent = 56;
  constexpr int kBlocks[] = {3, 4, 6, 3};
  for (int layer = 0; layer < 4; ++layer) {
    const int64_t width = int64_t{64} << layer;
    if (layer > 0) extent /= 2;
    for (int block = 0; block < kBlocks[layer]; ++block) {
      const int64_t stride = layer > 0 && block == 0 ? 2 : 1;
      builder.Bottleneck(absl::StrCat("layer", layer + 1, ".", block), in, width, extent, stride);
      in = 4 * width;
    }
  }
  builder.Linear("fc", in, 1000);
  return builder.Take();
}

}  // namespace cddp
