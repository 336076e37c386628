"""A PyTorch model's parameters and buffers as one float32 array in the host's memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch

from . import library
from .client import Tensor
from .errors import ConfigurationError, StateError

_HALVES = (torch.float16, torch.bfloat16)


@dataclasses.dataclass
class Part:
    """One parameter or buffer. `array` is its range of the flat array, in the tensor's shape."""

    name: str
    tensor: torch.Tensor
    array: torch.Tensor
    kind: int
    address: int = 0  # of the tensor's memory, which must not change

    @property
    def in_place(self) -> bool:
        """Whether the tensor's memory is that of the array."""
        return self.tensor.dtype == torch.float32 and self.address == self.array.data_ptr()


def _check(name: str, tensor: torch.Tensor) -> None:
    if tensor.dtype not in (torch.float32, *_HALVES):
        raise ConfigurationError(f"{name} is of type {tensor.dtype}: train float32, float16 or bfloat16 (model.float())")
    if tensor.is_sparse or tensor.layout != torch.strided:
        raise ConfigurationError(f"{name} is sparse: only dense parameters can be trained")
    if tensor.device.type == "meta":
        raise ConfigurationError(f"{name} has no memory yet (device meta): initialise the model first")


def _is_counter(name: str, buffer: torch.Tensor) -> bool:
    """Whether a buffer is BatchNorm's counter of steps; any other integer may be a constant of the model."""
    return name.rpartition(".")[2] == "num_batches_tracked" and buffer.dtype == torch.int64 and buffer.numel() == 1


def _owner(model: torch.nn.Module | None, name: str) -> tuple[torch.nn.Module, str]:
    assert model is not None
    path, _, own_name = name.rpartition(".")
    return model.get_submodule(path), own_name


class FlatParameters:
    """Contiguous float32 tensors in the host's memory become views of the array; others are copied at every exchange.

    A tensor that appears under several names (tied weights) is one part. Parameters of half precision have a float32
    master in the array, on which the optimizer works instead.
    """

    def __init__(self, parameters: Iterable[tuple[str, torch.Tensor]], model: torch.nn.Module | None) -> None:
        buffers = [] if model is None else list(model.named_buffers())
        tensors = [(name, tensor, library.PARAMETER) for name, tensor in parameters]
        tensors += [(name, tensor, library.BUFFER) for name, tensor in buffers if tensor.is_floating_point()]
        for name, tensor, _ in tensors:
            _check(name, tensor)
        self.flat = torch.zeros(sum(tensor.numel() for _, tensor, _ in tensors), dtype=torch.float32)
        self.parts: list[Part] = []
        offset = 0
        for name, tensor, kind in tensors:
            array = self.flat[offset : offset + tensor.numel()].view(tensor.shape)
            offset += tensor.numel()
            with torch.no_grad():
                array.copy_(tensor)
                if tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous():
                    tensor.data = array
            self.parts.append(Part(name, tensor, array, kind, tensor.data_ptr()))
        self._counters = [(name, *_owner(model, name)) for name, buffer in buffers if _is_counter(name, buffer)]
        # PyTorch before 2 makes a new tensor for each step, so the library gets this array instead.
        self._counts = torch.zeros(len(self._counters), dtype=torch.int64)
        self._copied = [part for part in self.parts if not part.in_place and part.tensor.numel() > 0]

    def tensors(self) -> list[Tensor]:
        """Descriptions of all parts and counters for the library."""
        counts = self._counts.data_ptr()
        counters = [Tensor(name, (), counts + 8 * place, library.COUNTER) for place, (name, *_) in enumerate(self._counters)]
        return [Tensor(part.name, tuple(part.array.shape), part.array.data_ptr(), part.kind) for part in self.parts] + counters

    def has_master(self, part: Part) -> bool:
        return part.kind == library.PARAMETER and part.tensor.dtype in _HALVES

    def check_memory(self) -> None:
        """Raises StateError if a tensor's memory or shape has changed since the start."""
        for part in self.parts:
            if part.tensor.data_ptr() != part.address or part.tensor.shape != part.array.shape:
                raise StateError(f"{part.name} was given other memory or another shape since this worker joined (by "
                                 "model.to(), .half(), a new layer or load_state_dict(assign=True)): change the model "
                                 "before the optimizer is made")

    @torch.no_grad()
    def gather_counters(self) -> None:
        """Copies the model's counters to memory that the library knows, before a state is saved."""
        for place, (_, module, name) in enumerate(self._counters):
            self._counts[place] = getattr(module, name).item()

    @torch.no_grad()
    def scatter_counters(self) -> None:
        """Copies the counters back to the model, after a start or a restored state."""
        for count, (_, module, name) in zip(self._counts, self._counters):
            getattr(module, name).copy_(count)

    @torch.no_grad()
    def gather(self) -> None:
        """Copies the tensors that the optimizer has changed into the array."""
        self.check_memory()
        for part in self._copied:
            if not self.has_master(part):
                part.array.copy_(part.tensor)

    @torch.no_grad()
    def scatter(self, masters_only: bool = False) -> None:
        """Copies the array's values into the tensors that do not lie in it."""
        for part in self._copied:
            if self.has_master(part) or not masters_only:
                part.tensor.copy_(part.array)
