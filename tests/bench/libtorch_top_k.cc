#include "tests/bench/libtorch_top_k.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <tuple>

namespace cddp {

void SetLibTorchThreads(int threads) { at::set_num_threads(threads); }

double LibTorchTopK(const float* gradient, float* residual, size_t length, size_t k) {
  const c10::InferenceMode no_gradients;
  const auto size = static_cast<int64_t>(length);
  const at::Tensor g = at::from_blob(const_cast<float*>(gradient), {size}, at::kFloat);
  at::Tensor r = at::from_blob(residual, {size}, at::kFloat);
  r.add_(g);
  const at::Tensor indices =
      std::get<1>(r.abs().topk(static_cast<int64_t>(k), /*dim=*/0, /*largest=*/true, /*sorted=*/false));
  const at::Tensor values = r.gather(0, indices);
  r.index_fill_(0, indices, 0);
  return values.data_ptr<float>()[0];
}

}  // namespace cddp
