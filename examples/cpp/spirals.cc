// Two spirals told apart by a small network with LibTorch: a program for one process, and three lines more.
//
//   cmake -B build . && cmake --build build       (with libcddp and LibTorch installed)
//   cddp run --workers=2 --servers=1 -- build/spirals

#include <cddp/torch.hpp>
#include <cmath>
#include <cstdio>

// Points of two spirals, and the spiral of each.
std::pair<torch::Tensor, torch::Tensor> Batch(int64_t size) {
  const torch::Tensor label = torch::randint(2, {size});
  const torch::Tensor turn = torch::rand({size}) * 6;
  const torch::Tensor angle = turn + label * M_PI;
  return {torch::stack({turn * angle.cos(), turn * angle.sin()}, 1) / 6, label};
}

int main() {
  torch::manual_seed(1);
  torch::nn::Sequential model(torch::nn::Linear(2, 64), torch::nn::Tanh(), torch::nn::Linear(64, 64), torch::nn::Tanh(),
                              torch::nn::Linear(64, 2));
  torch::optim::AdamW adamw(model->parameters(), 1e-2);
  cddp::DistributedOptimizer optimizer(adamw, *model, {{"local_steps", "2"}, {"ratio", "0.1"}});
  const unsigned rank = optimizer.client().Statistics().rank;
  torch::manual_seed(100 + rank);  // every worker has its own data
  for (int step = 0; step < 400; ++step) {
    const auto [points, labels] = Batch(64);
    optimizer.zero_grad();
    const torch::Tensor loss = torch::nn::functional::cross_entropy(model->forward(points), labels);
    loss.backward();
    optimizer.step(loss.item<double>());
  }
  const auto [points, labels] = Batch(1000);
  const double right = model->forward(points).argmax(1).eq(labels).to(torch::kFloat).mean().item<double>();
  std::printf("worker %u: %.1f %% right\n", rank, 100 * right);
  optimizer.finish();
  return right > 0.9 ? 0 : 1;
}
