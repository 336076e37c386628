"""Training of NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from . import arithmetic
from .client import Client, Tensor
from .errors import ConfigurationError
from .rounds import Rounds


class Arrays:
    """Named float32 arrays that all workers train together; they are changed in place.

    Change the arrays as you like, then call step(): every `local_steps`-th call exchanges the changes and sets the arrays
    to the new values. `local_steps="auto"`: as few as the network hides, decided by all workers together. With `overlap=K`
    an exchange goes on beside the next K steps; exchange() waits for it. Servers, rank and workers come from the arguments,
    else from the environment. Further options have the names of cddp-worker's flags.
    """

    def __init__(self, arrays: Mapping[str, numpy.ndarray], *, local_steps: int | str | None = None,
                 overlap: int | None = None, ratio: float | None = None, servers: str | list[str] | None = None,
                 rank: int | str | None = None, workers: int | None = None, agree: Mapping[str, object] | None = None,
                 **options: object) -> None:
        for name, array in arrays.items():
            if not isinstance(array, numpy.ndarray) or array.dtype != numpy.float32:
                raise ConfigurationError(f"{name} must be a NumPy array of float32: array.astype(numpy.float32)")
            if not array.flags.c_contiguous or not array.flags.writeable:
                raise ConfigurationError(f"{name} must be writable and contiguous: numpy.ascontiguousarray(array)")
        self.arrays = dict(arrays)
        tensors = [Tensor(name, array.shape, array.ctypes.data) for name, array in self.arrays.items()]
        self._client = Client(tensors, servers=servers, rank=rank, workers=workers,
                              defaults={"local_steps": 1, "ratio": 0.1},
                              options={"local_steps": local_steps, "overlap": overlap, "ratio": ratio, **options,
                                       "push": "weights"},
                              agree=agree or {}, keep=self.arrays)
        self._rounds = Rounds(self._client)
        self._client.start()

    @property
    def local_steps(self) -> int:
        """Steps between two exchanges, now."""
        return self._client.statistics().round_steps

    def step(self, *, weight: float = 1.0, loss: float | None = None) -> None:
        """Says that the arrays have made a step. `weight`: its number of examples, where batches differ; 0: no examples."""
        if loss is not None:
            self._client.loss = float(loss)
        if self._rounds.note_step(weight):
            self._exchange()

    def exchange(self) -> None:
        """Exchanges now, what has moved since the last exchange; then the arrays are the same at all workers, which must
        all call it after the same step."""
        for _ in range(self._rounds.until_together()):
            self._exchange()

    def _exchange(self) -> None:
        self._rounds.begin()
        self._client.finish()
        self._rounds.note_finished()

    @property
    def loss(self) -> float:
        """The last loss that was given to step()."""
        return self._client.loss

    def state_dict(self) -> dict[str, Any]:
        """All that this worker needs to continue from here: weights, residual, position."""
        return {"state": self._client.save(), **self._rounds.state(), "arithmetic": arithmetic.kind()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a state_dict() of this rank, before the first step."""
        self._client.restore(state["state"])
        arithmetic.compare(state.get("arithmetic"))
        self._rounds.restore(state)

    def summary(self) -> dict[str, int | float]:
        return {**self._client.statistics().as_dict(), "loss": self._client.loss}

    def leave(self, finished: bool = True) -> None:
        """Ends this worker's part; the other workers continue without it."""
        self._client.leave(finished)

    def __enter__(self) -> Arrays:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.leave()
        else:
            self._client.end_at_exit(finished=False)
