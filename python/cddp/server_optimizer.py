"""Training where the servers have the optimizer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from . import library
from .errors import ConfigurationError, StateError
from .gradient_hooks import on_gradient
from .optimizer import DistributedBase, _place, check_weight


class ServerOptimizer(DistributedBase):
    """Pushes gradients as the backward pass completes them; the servers' optimizer makes the steps.

    The servers must be started with it: `cddp run --optimizer_at=servers --optimizer=sgd --lr=0.05 -- ...`. With
    `overlap=False` step() pushes the gradients, for loops that change them first (clipping, GradScaler). If a step has
    several backward passes, run all but the last under `with optimizer.no_sync():`. The other arguments are those of
    DistributedOptimizer.
    """

    def __init__(self, model: torch.nn.Module, *, ratio: float | None = None, overlap: bool = True,
                 servers: str | list[str] | None = None, rank: int | str | None = None, workers: int | None = None,
                 agree: Mapping[str, object] | None = None, **options: object) -> None:
        if not isinstance(model, torch.nn.Module):
            raise ConfigurationError(f"model must be a torch.nn.Module, not {type(model).__name__}")
        super().__init__(list(model.parameters()), {})
        self._overlap = overlap
        self._begun = False
        self._pausing = False  # within no_sync()
        self._pushed: dict[int, int] = {}  # the gradient's version, by the tensor's index
        self._join(model, "gradients", _place(servers, rank, workers), {"ratio": 0.01}, {"ratio": ratio, **options}, agree)
        self._hooks = [on_gradient(part.tensor, lambda place=place: self._complete(place))
                       for place, part in enumerate(self._flat.parts) if overlap and part.tensor.requires_grad]

    def _complete(self, place: int) -> None:
        if self._pausing or self._client.over:
            return
        if not self._begun:
            self._begin(1.0, 0)
        if place in self._pushed:
            raise StateError(f"{self._flat.parts[place].name} had a second backward pass before step(): put all but the "
                             "last under `with optimizer.no_sync():`, or give overlap=False")
        self._push(place)

    def _begin(self, weight: float, flags: int) -> None:
        self._flat.check_memory()
        self._client.begin(weight=weight, loss=self._client.loss, flags=flags)
        self._begun = True

    def _push(self, place: int) -> None:
        gradient = self._flat.parts[place].tensor.grad
        if gradient is None:
            self._client.ready(place, None)
            return
        dense = gradient.to_dense() if gradient.is_sparse else gradient
        values = dense.detach().to("cpu", torch.float32).contiguous()
        self._client.ready(place, values.data_ptr())
        self._pushed[place] = gradient._version

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Backward passes inside this context add to the gradients and push nothing."""
        self._pausing = True
        try:
            yield
        finally:
            self._pausing = False

    def step(self, closure: Callable[[], Any] | None = None, *, weight: float = 1.0, loss: float | None = None,
             **amp: Any) -> Any:
        """Waits for the servers' step; then the weights are the new ones.

        `weight`: as DistributedOptimizer's. 0 means that this worker has no examples and only takes part so that the other
        workers can finish; any other weight but 1 needs overlap=False.
        """
        result = None if closure is None else closure()
        self._client._check_usable()
        if loss is not None:
            self._client.loss = float(loss)
        check_weight(weight)
        if self._overlap and (weight not in (0, 1) or amp.get("grad_scaler") is not None or "found_inf" in self.__dict__):
            raise ConfigurationError("weight= and GradScaler change gradients after they were pushed: give overlap=False")
        skip = self._take_scale(amp.get("grad_scaler"))
        self._check_unchanged()
        if not self._begun:
            self._begin(weight, library.STEP_NOT_FINITE if skip else 0)
        elif weight == 0:
            raise StateError("weight=0 is for a step without a backward pass: this one has pushed gradients")
        for place, part in reversed(list(enumerate(self._flat.parts))):
            if part.kind == library.PARAMETER and place not in self._pushed and not skip and weight > 0:
                self._push(place)
        self._begun = False
        self._pushed.clear()
        self._finish()
        return result

    def _check_unchanged(self) -> None:
        for place, version in self._pushed.items():
            part = self._flat.parts[place]
            if part.tensor.grad is None or part.tensor.grad._version != version:
                raise StateError(f"the gradient of {part.name} was changed after it had been pushed (clipping, or zero_grad() "
                                 "before step()): give overlap=False, or have the servers and workers clip")

    def state_dict(self) -> dict[str, Any]:
        """This worker's state: weights, residual, position. The servers have the optimizer's state."""
        return {"cddp": self._save()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continues from a state_dict() of this rank, before the first step; sets the model's weights as well."""
        self._restore(state_dict["cddp"])
