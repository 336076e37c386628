"""A worker's part of a data set, for a DataLoader's `sampler`. Needs neither PyTorch nor NumPy."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized

from . import environment
from .errors import ConfigurationError


class Shard:
    """The indices of this worker's examples, in another order each epoch. All workers have the same number.

    If the examples do not divide by the number of workers, the rest is left out: other examples in each epoch.
    """

    def __init__(self, count: int, rank: int, workers: int, shuffle: bool, seed: int) -> None:
        self._count = count
        self._rank = rank
        self._workers = workers
        self._shuffle = shuffle
        self._seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch; the seed and this number determine the order. Each pass increments it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count // self._workers

    def __iter__(self) -> Iterator[int]:
        order = list(range(self._count))
        if self._shuffle:
            random.Random(f"{self._seed}:{self.epoch}").shuffle(order)
        self.epoch += 1
        return iter(order[self._rank : len(self) * self._workers : self._workers])


def shard(dataset: Sized | int, *, shuffle: bool = True, seed: int = 0, rank: int | None = None,
          workers: int | None = None) -> Shard:
    """This worker's shard of a data set (or its length): DataLoader(dataset, sampler=cddp.shard(dataset))."""
    place = environment.place("-", rank, workers)
    if place.rank == "auto":
        raise ConfigurationError("shard(): give rank=, for rank 'auto' is known only after joining")
    count = dataset if isinstance(dataset, int) else len(dataset)
    if count < int(place.workers):
        raise ConfigurationError(f"{count} examples are too few for {place.workers} workers: each needs one")
    return Shard(count, int(place.rank), int(place.workers), shuffle, seed)
