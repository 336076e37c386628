"""What PyTorch's own operations take for what gpu_bench measures: each of 49 buckets of 524,288 elements compressed with
error feedback at 1 %, its values and indices on the host. Prints `result gpu_topk_ms VALUE ms`, the median of the rounds.
Run by tests/bench/gpu."""

import statistics
import time

import torch

BUCKETS, LENGTH, SENT = 49, 524_288, 5_243
ROUNDS, WARM_UP = 20, 5


def compress(gradient, residual):
    residual += gradient
    indices = residual.abs().topk(SENT, sorted=False).indices
    values = residual[indices]
    residual[indices] = 0
    return values.cpu(), indices.int().cpu()


def main():
    gradients = [torch.randn(LENGTH, device="cuda") for _ in range(BUCKETS)]
    residuals = [torch.zeros(LENGTH, device="cuda") for _ in range(BUCKETS)]
    times = []
    for _ in range(ROUNDS + WARM_UP):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for gradient, residual in zip(gradients, residuals):
            compress(gradient, residual)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    print(f"result gpu_topk_ms {1000 * statistics.median(times[WARM_UP:]):.4f} ms")


if __name__ == "__main__":
    main()
