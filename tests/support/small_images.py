"""A small data set of IDX files that a linear model learns: four classes, by where the bright quarter of 12 x 12 lies."""

import random
import struct


def write_images(folder, train=640, test=100):
    """Makes the folder, with `train` examples to train on and `test` to test with."""
    folder.mkdir()
    numbers = random.Random(1)
    for name, count in (("train", train), ("t10k", test)):
        labels = bytes(i % 4 for i in range(count))
        pixels = bytes(min(255, numbers.randrange(60) + 150 * (p // 72 == c // 2 and p % 12 // 6 == c % 2))
                       for c in labels for p in range(144))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 12, 12) + pixels)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
