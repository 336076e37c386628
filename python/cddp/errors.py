"""The package's exceptions. Each message says what is wrong and what to do."""

from __future__ import annotations


class Error(RuntimeError):
    """Any failure of this package. `code` is the name of the library's code ("UNAVAILABLE"), or None."""

    code: str | None = None


class LibraryError(Error, ImportError):
    """The shared library is missing, or is of another version."""


class ConfigurationError(Error, ValueError):
    """An option, a tensor or the environment makes no sense, or is not what servers and other workers have."""


class InUseError(Error):
    """The tensors, or the rank, belong to another client of this process."""


class UnavailableError(Error, ConnectionError):
    """A server was out of reach for longer than `server_timeout`."""


class AccessError(Error, PermissionError):
    """The servers require another token or certificate."""


class StateError(Error):
    """A call out of order, a rank that another process has taken over, or servers that have lost their state."""


class ForkError(StateError):
    """A call in a process that was forked after its parent had joined."""


class DamagedError(Error):
    """A saved state is damaged."""


class UnsupportedError(Error, NotImplementedError):
    """This build of the library does not have it."""


_BY_NAME: dict[str, type[Error]] = {
    "INVALID_ARGUMENT": ConfigurationError,
    "NOT_FOUND": ConfigurationError,
    "ALREADY_EXISTS": InUseError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": UnavailableError,
    "PERMISSION_DENIED": AccessError,
    "UNAUTHENTICATED": AccessError,
    "FAILED_PRECONDITION": StateError,
    "DATA_LOSS": DamagedError,
    "UNIMPLEMENTED": UnsupportedError,
}


def from_code(name: str, message: str) -> Error:
    """The exception for the library's code with this name."""
    error = _BY_NAME.get(name, Error)(message)
    error.code = name
    return error
