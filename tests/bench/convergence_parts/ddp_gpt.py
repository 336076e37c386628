#!/usr/bin/python3
"""The small GPT of `cddp train --model=gpt` under PyTorch DDP with AdamW, gloo between processes of this machine.

    ddp_gpt.py TEXT OUT --hook=dense|fp16|powersgd4 --workers=4 --steps=600 --rate=0.002 --seed=41 ...

Initial weights, data, schedule, decay and clipping are as in the worker, but for the random numbers, and clipping sees
the mean gradient. Writes OUT, a JSON file like report.json's part that the convergence script reads. Bits are those that
one worker gives into the all-reduce, and takes from it, for each parameter and step.
"""

import argparse
import json
import math
import os
import pathlib
import tempfile

import numpy
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

START_POWERSGD = 10  # steps that are exchanged whole before


class Layer(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.heads = max(1, dim // 64)
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn, self.attn_c_proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.c_fc, self.mlp_c_proj = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, hidden):
        batch, length, dim = hidden.shape
        query, key, value = (part.view(batch, length, self.heads, -1).transpose(1, 2)
                             for part in self.attn(self.ln_1(hidden)).split(dim, 2))
        scores = query @ key.transpose(2, 3) / math.sqrt(dim // self.heads)
        mixed = (scores + torch.full((length, length), -math.inf).triu(1)).softmax(-1) @ value
        hidden = hidden + self.attn_c_proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        return hidden + self.mlp_c_proj(functional.gelu(self.c_fc(self.ln_2(hidden))))


class Gpt(nn.Module):
    def __init__(self, layers, dim, context):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(256, dim), nn.Embedding(context, dim)
        self.h = nn.ModuleList(Layer(dim) for _ in range(layers))
        self.ln_f, self.lm_head = nn.LayerNorm(dim), nn.Linear(dim, 256, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if "c_proj" in name else 0.02)
            elif "ln_" not in name:
                nn.init.zeros_(parameter)

    def forward(self, data, targets):
        hidden = self.wte(data) + self.wpe(torch.arange(data.shape[1]))
        for layer in self.h:
            hidden = layer(hidden)
        return functional.cross_entropy(self.lm_head(self.ln_f(hidden)).view(-1, 256), targets.reshape(-1))


def windows(data, begins, context):
    both = torch.stack([data[begin:begin + context + 1] for begin in begins]).long()
    return both[:, :-1], both[:, 1:]


class Text:
    def __init__(self, options):
        data = torch.from_numpy(numpy.fromfile(options.text, dtype=numpy.uint8).copy())
        held_out = len(data) // 10
        self.train, self.validation, self.options = data[:-held_out], data[-held_out:], options

    def batches(self, rank):
        """Of one worker, endless: epochs of windows in a new order, which begin at another place each time."""
        options, epoch = self.options, 0
        count = len(self.train) // options.context - 1
        while True:
            random = numpy.random.RandomState((options.seed * 1000 + epoch) % 2**32)
            begins = random.permutation(count) * options.context + random.randint(options.context)
            mine = begins[rank::options.workers]
            for first in range(0, len(mine) - options.batch + 1, options.batch):
                yield windows(self.train, mine[first:first + options.batch], options.context)
            epoch += 1

    def loss(self, model):
        """Over the first windows of what is held out."""
        context, count = self.options.context, self.options.test_examples
        with torch.no_grad():
            losses = [model(*windows(self.validation, range(first * context, min(first + 50, count) * context, context), context))
                      for first in range(0, count, 50)]
        return torch.stack(losses).mean().item()


def rate_at(options, step):
    warm = options.steps // 20
    if step < warm:
        return options.rate * (step + 1) / warm
    part = min(1, (step - warm) / (options.steps - warm))
    return options.rate * (0.1 + 0.9 * (1 + math.cos(math.pi * part)) / 2)


def register(model, hook):
    """Returns PowerSGD's state, for its statistics, or None."""
    if hook == "fp16":
        model.register_comm_hook(None, default_hooks.fp16_compress_hook)
    if hook != "powersgd4":
        return None
    state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=4, start_powerSGD_iter=START_POWERSGD)
    model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    return state


def bits_of(hook, state, options):
    if state is None:
        return 16 if hook == "fp16" else 32
    rate, _, _ = state.compression_stats()
    sparse = max(0, options.steps - START_POWERSGD)
    return 32 * (options.steps - sparse + sparse / rate) / options.steps


def work(rank, options, rendezvous):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=options.workers)
    torch.manual_seed(options.seed)
    bare = Gpt(options.layers, options.dim, options.context)
    # One bucket: gloo stalls when PowerSGD has two exchanges under way.
    dist._DEFAULT_FIRST_BUCKET_BYTES = 1000 << 20
    model = DistributedDataParallel(bare, bucket_cap_mb=1000)
    state = register(model, options.hook)
    decayed = [parameter for parameter in bare.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in bare.parameters() if parameter.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}],
                                  lr=options.rate)
    text = Text(options)
    batches = text.batches(rank)
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(options, step)
        optimizer.zero_grad()
        model(*next(batches)).backward()
        nn.utils.clip_grad_norm_(bare.parameters(), 1)
        optimizer.step()
    if rank == 0:
        bits = bits_of(options.hook, state, options)
        options.out.write_text(json.dumps({"state": "finished", "test_loss": text.loss(bare), "bits_up": bits,
                                           "bits_down": bits}))
    dist.barrier()
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--hook", choices=("dense", "fp16", "powersgd4"), required=True)
    parser.add_argument("--rate", type=float, required=True)
    for name, value in {"workers": 4, "steps": 600, "seed": 41, "layers": 2, "dim": 128, "context": 64, "batch": 4,
                        "test_examples": 400}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(work, (options, os.path.join(folder, "rendezvous")), options.workers)


if __name__ == "__main__":
    main()
