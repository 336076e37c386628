"""Loads what a worker has saved and what `cddp checkpoint` has exported into a PyTorch module, strictly, and compares the
two; prints the accuracy on the test images as JSON.

usage: load_buffers.py bn_cnn|resnet18 DATA SAVED.pt EXPORTED.safetensors
"""

import json
import pathlib
import struct
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "unit" / "model"))
from load_model import BnCnn, Resnet18  # noqa: E402


def read_safetensors(path):
    content = pathlib.Path(path).read_bytes()
    length, = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__")
    kinds = {"F32": torch.float32, "I64": torch.int64}
    ends = sorted(tensor["data_offsets"] for tensor in header.values())
    assert all(a[1] == b[0] for a, b in zip(ends, ends[1:])), f"{path} has holes"
    assert ends[-1][1] == len(content) - 8 - length, f"{path} is longer than its tensors"
    return {name: torch.frombuffer(bytearray(content[8 + length:][slice(*tensor["data_offsets"])]),
                                   dtype=kinds[tensor["dtype"]]).view(tensor["shape"])
            for name, tensor in header.items()}


def read_images(folder):
    pixels = (folder / "t10k-images-idx3-ubyte").read_bytes()
    train = (folder / "train-images-idx3-ubyte").read_bytes()
    count, rows, columns = struct.unpack_from(">III", pixels, 4)
    values = torch.frombuffer(bytearray(train[16:]), dtype=torch.uint8).double() / 255
    images = torch.frombuffer(bytearray(pixels[16:]), dtype=torch.uint8).double().view(count, 1, rows, columns) / 255
    labels = torch.frombuffer(bytearray((folder / "t10k-labels-idx1-ubyte").read_bytes()[8:]), dtype=torch.uint8)
    return ((images - values.mean()) / values.std(unbiased=False)).float(), labels.long()


def main():
    make = {"bn_cnn": BnCnn, "resnet18": Resnet18}[sys.argv[1]]
    images, labels = read_images(pathlib.Path(sys.argv[2]))
    saved, exported = torch.load(sys.argv[3]), read_safetensors(sys.argv[4])
    for name, tensor in saved.items():
        if not torch.equal(tensor, exported[name]):
            sys.exit(f"{name} is {tensor} in {sys.argv[3]}, but {exported[name]} in {sys.argv[4]}")
    for state in (saved, exported):
        model = make(images.shape[-1], 4)
        model.load_state_dict(state, strict=True)
        model.eval()
        assert not torch.equal(model.bn1.running_var, torch.ones_like(model.bn1.running_var)), "as at first"
        assert model.bn1.num_batches_tracked > 0
        with torch.no_grad():
            accuracy = (model(images).argmax(-1) == labels).double().mean().item()
    print(json.dumps({"accuracy": accuracy}))


if __name__ == "__main__":
    main()
