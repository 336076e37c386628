"""One rank of PyTorch DDP that does what cddp-worker does with a model of shapes: the tensors of a real model, gradients
out of a pool of random numbers, passes that idle as long as an accelerator would compute, layer by layer in the backward
pass, so that DDP's overlap works as it does in life; then SGD with momentum, as the servers run it for us."""

import argparse
import json
import time

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

POOL_SLACK = 1 << 20
FORWARD_PART = 1 / 3
WARM_STEPS = {"dense": 2, "fp16": 2, "powersgd4": 4}  # DDP rebuilds its buckets in step 1, PowerSGD begins in step 2


class Clock:
    """The schedule of one step; a layer is done at its time, whatever the processor did meanwhile."""

    def start(self, compute):
        self.begin = time.monotonic()
        self.compute = compute

    def wait(self, part):
        left = self.begin + part * self.compute - time.monotonic()
        if left > 0:
            time.sleep(left)


class Layer(torch.autograd.Function):
    @staticmethod
    def forward(context, signal, worker, layer, *parameters):
        context.worker, context.layer = worker, layer
        return signal.clone()

    @staticmethod
    def backward(context, signal):
        layer = context.layer
        context.worker.clock.wait(FORWARD_PART + (1 - FORWARD_PART) * layer["done"])
        return (signal, None, None, *context.worker.gradients(layer))


class Model(torch.nn.Module):
    def __init__(self, shapes, seed, compute):
        super().__init__()
        self.clock, self.compute, self.layers = Clock(), compute, []
        torch.manual_seed(seed)
        total_cost = sum(tensor["cost"] for tensor in shapes)
        offset, before = 0, 0
        for tensor in shapes:
            if tensor["cost"] > 0:
                self.layers.append({"parameters": [], "done": 1 - before / total_cost})
            before += tensor["cost"]
            parameter = torch.nn.Parameter(torch.empty(tensor["shape"]).normal_(0, 1e-2))
            self.register_parameter(tensor["name"].replace(".", "_"), parameter)
            self.layers[-1]["parameters"].append((parameter, offset))
            offset += parameter.numel()
        self.total = offset

    def make_pool(self, seed):
        self.pool = torch.empty(self.total + POOL_SLACK).normal_(0, 1e-2, generator=torch.Generator().manual_seed(seed))
        self.random = torch.Generator().manual_seed(seed + 1)

    def gradients(self, layer):
        for parameter, offset in layer["parameters"]:
            begin = self.pool_begin + offset
            yield self.pool[begin:begin + parameter.numel()].view(parameter.shape)

    def forward(self, signal):
        self.clock.start(self.compute)
        self.pool_begin = int(torch.randint(POOL_SLACK, (1,), generator=self.random))
        self.clock.wait(FORWARD_PART)
        for layer in self.layers:
            signal = Layer.apply(signal, self, layer, *(parameter for parameter, _ in layer["parameters"]))
        return signal


def make_parallel(model, peer):
    # All ranks make the same weights from one seed; sending 100 MB to each would only take time.
    DistributedDataParallel._sync_params_and_buffers = lambda *_, **__: None
    # PowerSGD gets one bucket: two or more exchanges of its own are under way at a time then, and gloo stalls.
    bucket_mb = 1000 if peer == "powersgd4" else 25
    parallel = DistributedDataParallel(model, bucket_cap_mb=bucket_mb, gradient_as_bucket_view=True)
    if peer == "powersgd4":
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=4, start_powerSGD_iter=2,
                                            use_error_feedback=True, warm_start=True)
        parallel.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    elif peer == "fp16":
        parallel.register_comm_hook(None, default_hooks.fp16_compress_hook)
    return parallel


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--master")
    parser.add_argument("--shapes", type=argparse.FileType())
    parser.add_argument("--compute_ms", type=float)
    parser.add_argument("--peer", choices=WARM_STEPS)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://{options.master}:29500", rank=options.rank,
                            world_size=options.workers)
    model = Model(json.load(options.shapes), 42, options.compute_ms / 1e3)
    model.make_pool(1000 + options.rank)
    if options.peer == "powersgd4":
        dist._DEFAULT_FIRST_BUCKET_BYTES = 1000 << 20
    parallel = make_parallel(model, options.peer)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=1e-3, momentum=0.9, foreach=True)

    def tell(event):
        if options.rank == 0:
            print(json.dumps({"event": event}), flush=True)

    signal = torch.zeros(1, requires_grad=True)
    for step in range(WARM_STEPS[options.peer] + options.steps):
        if step == WARM_STEPS[options.peer]:
            tell("warm")
        parallel(signal).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    tell("done")
    dist.barrier()


if __name__ == "__main__":
    main()
