"""Compressed-DDP: data-parallel training that sends only a part of each change of the weights.

    import cddp
    optimizer = cddp.DistributedOptimizer(torch.optim.AdamW(model.parameters(), lr=1e-3), model)

in a script that `cddp run --workers=4 --servers=2 -- python3 train.py` starts. The rest of the script stays as it is.
"""

from __future__ import annotations

from typing import Any

from . import client as _client
from .environment import output, state
from .errors import (AccessError, ConfigurationError, DamagedError, Error, ForkError, InUseError, LibraryError, StateError,
                     UnavailableError, UnsupportedError)
from .sampling import shard

__version__ = "0.1.0"
__all__ = ["AccessError", "AdamW", "Arrays", "ConfigurationError", "DamagedError", "DistributedOptimizer", "Error", "ForkError",
           "InUseError", "LibraryError", "ServerOptimizer", "StateError", "UnavailableError", "UnsupportedError", "output",
           "shard", "state", "summary"]


def __getattr__(name: str) -> Any:
    # PyTorch and NumPy are imported only by the classes that need them, so that one of the two is enough.
    if name == "DistributedOptimizer":
        from .optimizer import DistributedOptimizer
        return DistributedOptimizer
    if name == "ServerOptimizer":
        from .server_optimizer import ServerOptimizer
        return ServerOptimizer
    if name == "AdamW":
        from .adamw import AdamW
        return AdamW
    if name == "Arrays":
        from .arrays import Arrays
        return Arrays
    raise AttributeError(f"module 'cddp' has no attribute '{name}'")


def summary() -> dict[str, int | float]:
    """This worker's statistics by name: rank, steps, bytes, the residual's norm, seconds waited, loss.

    A process that takes part in several trainings gets those of the first. StateError if it takes part in none.
    """
    for client in _client.live():
        return {**client.statistics().as_dict(), "loss": client.loss}
    raise StateError("this process takes part in no training: make a DistributedOptimizer first")
