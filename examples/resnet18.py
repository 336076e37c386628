"""A ResNet-18 with BatchNorm learns images in bfloat16 (AMP), and continues where it was if it is killed.

cddp run --workers=4 --servers=2 --durable -- python3 examples/resnet18.py [FOLDER] [STEPS]
"""

import os
import pathlib
import sys

import numpy
import torch
from torch import nn

import cddp

BATCH, SAVE_EVERY = 32, 20


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
                                  nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.way = nn.Identity() if stride == 1 and inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.body(x) + self.way(x))


def resnet18(channels=1, classes=10):
    widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
    return nn.Sequential(nn.Conv2d(channels, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                         *(Block(*width) for width in widths), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "data/mnist")
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 200
labels = torch.tensor(numpy.fromfile(folder / "train-labels-idx1-ubyte", numpy.uint8)[8:]).long()
images = torch.tensor(numpy.fromfile(folder / "train-images-idx3-ubyte", numpy.uint8)[16:]).view(len(labels), 1, -1)
side = int(images.shape[-1] ** 0.5)
model = resnet18()
optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9), model)
rank, first = int(optimizer.summary()["rank"]), 0
saved = pathlib.Path(cddp.state() or "/nonexistent") / f"worker-{rank}.pt"  # there is a folder with --durable
if saved.exists():
    state = torch.load(saved)
    optimizer.load_state_dict(state["optimizer"])
    first = state["step"]
for step in range(first, steps):
    mine = torch.randint(len(labels), (BATCH,), generator=torch.Generator().manual_seed(1000 * step + rank))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(model(images[mine].view(-1, 1, side, side) / 255.0), labels[mine])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step(loss=loss.item())
    if step % 10 == 9:
        print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    if cddp.state() and step % SAVE_EVERY == SAVE_EVERY - 1:
        torch.save({"optimizer": optimizer.state_dict(), "step": step + 1}, saved.with_suffix(".new"))
        os.replace(saved.with_suffix(".new"), saved)
optimizer.leave()
