"""A CNN learns MNIST.   cddp run --workers=4 --servers=2 -- python3 examples/mnist.py [FOLDER]"""

import pathlib
import sys

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cddp

EPOCHS = 2


def load(folder, part):
    images, labels = (numpy.fromfile(folder / f"{part}-{name}-ubyte", numpy.uint8)[head:]
                      for name, head in (("images-idx3", 16), ("labels-idx1", 8)))
    images = images.reshape(len(labels), 1, -1)
    side = int(images.shape[-1] ** 0.5)
    return TensorDataset(torch.tensor(images).view(-1, 1, side, side) / 255.0, torch.tensor(labels).long())


folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "data/mnist")
train, test = load(folder, "train"), load(folder, "t10k")
torch.manual_seed(42)
model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
                      nn.AdaptiveMaxPool2d(4), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = cddp.DistributedOptimizer(torch.optim.AdamW(model.parameters(), lr=1e-3), model)
loader = DataLoader(train, batch_size=64, sampler=cddp.shard(train, seed=42))
for epoch in range(EPOCHS):
    for x, y in loader:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(loss=loss.item())
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(test, batch_size=500))
    print(f"epoch {epoch + 1}: loss {loss.item():.4f}, accuracy {100 * right / len(test):.2f} %")
optimizer.leave()
