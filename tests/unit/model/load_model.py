"""Loads a model saved by a worker into a plain PyTorch module and checks its loss on the test images beside it.

Usage: load_model.py NAME FOLDER EXTENT CLASSES PIXEL_MEAN PIXEL_STDDEV EXPECTED_LOSS
"""

import sys

import torch
from torch import nn
from torch.nn import functional as F


class Mlp(nn.Module):
    def __init__(self, extent, classes):
        super().__init__()
        self.fc1 = nn.Linear(extent * extent, 256)
        self.fc2 = nn.Linear(256, 128)
        self.fc3 = nn.Linear(128, classes)

    def forward(self, x):
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu(self.fc2(x)))


class SimpleCnn(nn.Module):
    """github.com/pytorch/examples, mnist/main.py."""

    def __init__(self, extent, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(64 * ((extent - 4) // 2) ** 2, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.dropout2(x)
        return self.fc2(x)


class BnCnn(nn.Module):
    def __init__(self, extent, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * ((extent + 3) // 4) ** 2, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(torch.flatten(F.relu(self.bn2(self.conv2(x))), 1))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + identity)


class Resnet18(nn.Module):
    """torchvision.models.resnet18 with one input channel."""

    def __init__(self, extent, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


def main():
    name, folder = sys.argv[1:3]
    extent, classes = map(int, sys.argv[3:5])
    mean, stddev, expected = map(float, sys.argv[5:8])
    model = {"mlp": Mlp, "simple_cnn": SimpleCnn, "bn_cnn": BnCnn, "resnet18": Resnet18}[name](extent, classes)
    model.load_state_dict(torch.load(f"{folder}/model.pt", weights_only=True))
    model.eval()
    with open(f"{folder}/pixels", "rb") as pixels, open(f"{folder}/labels", "rb") as labels:
        images = torch.frombuffer(bytearray(pixels.read()), dtype=torch.uint8)
        targets = torch.frombuffer(bytearray(labels.read()), dtype=torch.uint8).long()
    images = (images.view(-1, 1, extent, extent).double() / 255 - mean) / stddev
    with torch.no_grad():
        loss = F.cross_entropy(model(images.float()), targets).item()
    if not abs(loss - expected) <= 1e-4 * max(1.0, abs(expected)):
        sys.exit(f"{name}: the worker's loss is {expected}, Python's {loss}")


if __name__ == "__main__":
    main()
