"""Where this worker finds its servers and its place among the workers: arguments first, then the environment."""

from __future__ import annotations

import dataclasses
import os

from .errors import ConfigurationError


@dataclasses.dataclass(frozen=True)
class Place:
    servers: str  # "host:port,host:port"
    rank: str  # a number, or "auto"
    workers: str


def _first(names: tuple[str, ...]) -> tuple[str, str] | None:
    """The first of these variables that is set and not empty, with its value."""
    for name in names:
        if value := os.environ.get(name):
            return name, value
    return None


def _number(what: str, given: object, variables: tuple[str, ...], least: int) -> str:
    origin, value = f"{what}=", given
    if given is None:
        found = _first(variables)
        if found is None:
            raise ConfigurationError(f"{what} is not known: start the script with `cddp run --workers=N -- python3 ...`, "
                                     f"give {what}=, or set {variables[-1]}")
        origin, value = f"{found[0]}=", found[1]
    if what == "rank" and value == "auto":
        return "auto"
    try:
        number = int(str(value))
    except ValueError:
        raise ConfigurationError(f"{origin}{value}: must be a whole number") from None
    if number < least:
        raise ConfigurationError(f"{origin}{value}: must be at least {least}")
    return str(number)


def place(servers: str | list[str] | None, rank: int | str | None, workers: int | None) -> Place:
    """Returns the place, or raises ConfigurationError, which says what is missing or makes no sense."""
    if servers is None:
        found = _first(("CDDP_SERVERS",))
        if found is None:
            raise ConfigurationError("there are no servers: start the script with `cddp run --workers=N -- python3 ...`, "
                                     "give servers='host:port,host:port', or set CDDP_SERVERS")
        servers = found[1]
    if not isinstance(servers, str):
        servers = ",".join(servers)
    count = _number("workers", workers, ("CDDP_WORKERS", "WORLD_SIZE"), 1)
    number = _number("rank", rank, ("CDDP_RANK", "RANK"), 0)
    if number != "auto" and int(number) >= int(count):
        raise ConfigurationError(f"rank {number} of {count} workers: ranks count from 0, so the last is {int(count) - 1}")
    return Place(servers, number, count)


def output() -> str | None:
    """The run's folder, in a worker that `cddp run` has started; else None."""
    return os.environ.get("CDDP_OUTPUT") or None


def state() -> str | None:
    """The folder for the state from which this worker continues after a restart; None unless the run is durable."""
    return os.environ.get("CDDP_STATE") or None
