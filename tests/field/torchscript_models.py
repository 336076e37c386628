#!/usr/bin/python3
"""Makes TorchScript files and arrays for torchscript_test.py, and looks at what training has made of them.

usage: torchscript_models.py make FOLDER | check ORIGINAL TRAINED DATA
"""

import json
import pathlib
import sys

import numpy
import torch
from torch import nn

CLASSES = 4


class Mlp(nn.Module):
    """With dropout, a parameter that is not trained and one that is used twice."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(3 * 8 * 8, 32)
        self.hidden = nn.Linear(32, 32)
        self.again = nn.Linear(32, 32)
        self.again.weight = self.hidden.weight
        self.fc2 = nn.Linear(32, CLASSES)
        self.scale = nn.Parameter(torch.full((1,), 0.5), requires_grad=False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        x = torch.relu(self.fc1(x.flatten(1)) * self.scale)
        return self.fc2(self.dropout(torch.relu(self.again(torch.relu(self.hidden(x))))))


class Cnn(nn.Module):
    """With three channels and batch normalisation."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, CLASSES)
        self.register_buffer("table", torch.arange(7))

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.conv(x))).amax((2, 3)))


class OwnLoss(nn.Module):
    """An autoencoder whose outputs are two tensors, which only a loss of its own can use."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3 * 8 * 8, 8)
        self.decode = nn.Linear(8, 3 * 8 * 8)

    def forward(self, x):
        flat = x.flatten(1)
        return self.decode(torch.tanh(self.encode(flat))), flat

    @torch.jit.export
    def loss(self, outputs: tuple[torch.Tensor, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.mse_loss(outputs[0], outputs[1])


class Regression(nn.Module):
    def __init__(self, outputs=1):
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, outputs)

    def forward(self, x):
        return self.fc(x.flatten(1))


class LongLoss(Regression):
    @torch.jit.export
    def loss(self, outputs, targets, weights):
        return ((outputs - targets) * weights).mean()


class Counting(Regression):
    """A buffer that changes, of a type that does not travel."""

    def __init__(self):
        super().__init__(CLASSES)
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

    def forward(self, x):
        if self.training:
            self.seen += 1
        return self.fc(x.flatten(1))


def images(count, seed):
    """Every class has a picture of its own; an example is that of its class with noise."""
    pictures = numpy.random.default_rng(0).integers(0, 200, (CLASSES, 3, 8, 8))
    numbers = numpy.random.default_rng(seed)
    labels = numpy.arange(count) % CLASSES
    return (pictures[labels] + numbers.integers(0, 56, (count, 3, 8, 8))).astype(numpy.uint8), labels


def make(folder):
    torch.manual_seed(1)
    for name, module in (("mlp", Mlp()), ("cnn", Cnn()), ("cnn1", Cnn(channels=1)), ("own_loss", OwnLoss()),
                         ("regression", Regression()), ("three", Regression(CLASSES - 1)), ("long_loss", LongLoss()),
                         ("counting", Counting()), ("half", Regression(CLASSES).half())):
        torch.jit.save(torch.jit.script(module), folder / f"{name}.pt")
    torch.jit.save(torch.jit.freeze(torch.jit.script(Regression().eval())), folder / "frozen.pt")
    torch.save(Regression().state_dict(), folder / "tensors.pt")
    (folder / "rubbish.pt").write_bytes(b"rubbish" * 100)
    x, y = images(640, 1)
    x_test, y_test = images(200, 2)
    arrays = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
    numpy.savez_compressed(folder / "images.npz", **arrays)
    numpy.savez(folder / "floats.npz", **{**arrays, "x_train": (x / 255).astype(numpy.float32),
                                          "x_test": (x_test / 255).astype(numpy.float32)})
    numpy.savez(folder / "other.npz", **{**arrays, "x_train": x[::-1].copy(), "y_train": y[::-1].copy()})
    (folder / "images").mkdir()
    for name, array in arrays.items():
        numpy.save(folder / "images" / f"{name}.npy", array)
    numbers = {name: (array / 3).astype(numpy.float32)[:, None] if name.startswith("y") else array
               for name, array in arrays.items()}
    numpy.savez(folder / "numbers.npz", **numbers)
    numpy.savez(folder / "flat_numbers.npz", **{name: array[:, 0] if name.startswith("y") else array
                                                for name, array in numbers.items()})


def check(original, trained, data):
    """Prints what Python makes of the trained module: its accuracy, and which of its tensors are not the original's."""
    module = torch.jit.load(trained)
    before = dict(torch.jit.load(original).state_dict())
    arrays = numpy.load(data)
    with torch.no_grad():
        logits = module(torch.from_numpy(arrays["x_test"]).float() / 255)
    right = (logits.argmax(1).numpy() == arrays["y_test"]).mean()
    after = dict(module.state_dict())
    assert list(after) == list(before), (list(after), list(before))
    print(json.dumps({"accuracy": float(right), "training": module.training,
                      "changed": [name for name in after if not torch.equal(after[name], before[name])]}))


if __name__ == "__main__":
    paths = [pathlib.Path(path) for path in sys.argv[2:]]
    make(*paths) if sys.argv[1] == "make" else check(*map(str, paths))
