"""One worker's membership in a training: the library's client, with Python's exceptions and signals."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import dataclasses
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from . import environment, library
from .errors import Error, ForkError, StateError

_LOG = logging.getLogger("cddp")
_SLICE_SECONDS = 0.1  # a wait handles signals at this interval
_LEAVE_SECONDS = 5.0  # how long the end of the process waits for servers
_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Float32 elements, or a counter's one int64, in C order at an address that must stay valid."""

    name: str
    shape: tuple[int, ...]
    address: int
    kind: int = library.PARAMETER


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Options:
    """The library's options; freed with this object."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        library.check(library.library().cddp_options_create(ctypes.byref(self.handle)))

    def __del__(self) -> None:
        if self.handle:
            library.library().cddp_options_destroy(self.handle)

    def set(self, options: Mapping[str, object]) -> None:
        for name, value in options.items():
            if value is not None:
                library.check(library.library().cddp_options_set(self.handle, name.encode(), _text(value).encode()))

    def get(self, name: str) -> str:
        text = ctypes.create_string_buffer(4096)
        library.check(library.library().cddp_options_get(self.handle, name.encode(), text, len(text), None))
        return text.value.decode()

    def agree(self, facts: Mapping[str, object]) -> None:
        for name, value in facts.items():
            library.check(library.library().cddp_options_agree(self.handle, name.encode(), _text(value).encode()))

    def read_environment(self) -> None:
        library.check(library.library().cddp_options_read_environment(self.handle))


class Client:
    """Joins the servers at once; start() or restore() must follow. `keep` is held as long as the tensors are used.

    Options have the names of cddp-worker's flags. The environment (CDDP_RATIO, ...) overrides `defaults`, and `options`
    override both. `agree` names facts that all workers must have alike. Only ready() is thread-safe.
    """

    def __init__(self, tensors: Sequence[Tensor], *, servers: str | list[str] | None, rank: int | str | None,
                 workers: int | None, defaults: Mapping[str, object], options: Mapping[str, object],
                 agree: Mapping[str, object], keep: object) -> None:
        place = environment.place(servers, rank, workers)
        settings = _Options()
        settings.set(defaults)
        settings.read_environment()
        settings.set(options)
        settings.set(dataclasses.asdict(place))
        settings.agree(agree)
        self._settings = settings
        self._keep = keep
        self._process = os.getpid()
        self._handle = ctypes.c_void_p()
        self._blocked = False  # an interrupted call has not returned yet
        self._over = False
        self.loss = float("nan")
        _log_to_python()
        array = (library.Tensor * max(1, len(tensors)))()
        shapes = [(ctypes.c_int64 * max(1, len(tensor.shape)))(*tensor.shape) for tensor in tensors]
        for entry, tensor, shape in zip(array, tensors, shapes):
            element = library.INT64 if tensor.kind == library.COUNTER else library.FLOAT32
            entry.__init__(kind=tensor.kind, type=element, dimensions=len(tensor.shape), shape=shape, name=tensor.name.encode(),
                           data=tensor.address)
        self._call(lambda: library.library().cddp_join(settings.handle, array, len(tensors), None,
                                                       ctypes.byref(self._handle)))
        _live.append(self)

    def option(self, name: str) -> str:
        return self._settings.get(name)

    def start(self) -> None:
        """Gives every worker the same weights."""
        try:
            self._call(lambda: library.library().cddp_start(self._handle))
        except KeyboardInterrupt:
            library.library().cddp_cancel(self._handle)
            raise

    def restore(self, state: bytes) -> None:
        """Continues from what save() returned; sets the weights."""
        self._call(lambda: library.library().cddp_restore(self._handle, state, len(state)))

    def save(self) -> bytes:
        """All that this worker needs to continue from here, except its optimizer and its place in the data."""
        self._check_usable()
        if self.statistics().under_way:
            self._wait()
        size = ctypes.c_size_t()
        library.check(library.library().cddp_state_size(self._handle, ctypes.byref(size)))
        state = ctypes.create_string_buffer(size.value)
        library.check(library.library().cddp_save_state(self._handle, state, size.value, ctypes.byref(size)))
        return state.raw[: size.value]

    def begin(self, *, weight: float = 1.0, loss: float | None = None, flags: int = 0) -> None:
        """Begins a step. `weight` 0: this worker has no examples, and takes part so that the other workers can finish."""
        self._check_usable()
        if weight == 0:
            flags |= library.STEP_EMPTY
        if loss is not None:
            self.loss = loss
        options = library.StepOptions(flags=flags, weight=weight, loss=0.0 if loss is None or loss != loss else loss)
        library.check(library.library().cddp_begin(self._handle, ctypes.byref(options)))

    def note_step(self) -> bool:
        """Notes a step of the program, so that save() includes its changes. True: begin() and finish() must follow."""
        self._check_usable()
        due = ctypes.c_int()
        library.check(library.library().cddp_note_step(self._handle, ctypes.byref(due)))
        return bool(due.value)

    def ready(self, tensor: int, gradient: int | None) -> None:
        """Copies a tensor's complete gradient from this address (float32 in C order); None: the gradient is zero."""
        self._check_usable()
        library.check(library.library().cddp_ready(self._handle, tensor, gradient))

    def finish(self) -> library.Result:
        """Waits for the other workers; then the weights are the new ones. Ctrl-C ends the wait."""
        self._check_usable()
        self._wait()
        result = library.Result()
        library.check(library.library().cddp_finish(self._handle, ctypes.byref(result)))
        return result

    def _wait(self) -> None:
        while (code := library.library().cddp_wait(self._handle, _SLICE_SECONDS)) == library.DEADLINE_EXCEEDED:
            pass  # between two calls Python handles signals
        library.check(code)

    def statistics(self) -> library.Statistics:
        self._check_usable()
        statistics = library.Statistics()
        library.check(library.library().cddp_get_statistics(self._handle, ctypes.byref(statistics)))
        return statistics

    @property
    def over(self) -> bool:
        """Whether this worker has left."""
        return self._over

    def leave(self, finished: bool) -> None:
        """Ends this worker's part. `finished`: its training is complete; False: it gives up."""
        if self._over:
            return
        self._call(lambda: library.library().cddp_leave(self._handle, int(finished)))
        self.close()

    def close(self) -> None:
        """Ends without telling the servers, so that a restarted process may take this worker's place."""
        if self._over:
            return
        self._over = True
        if self in _live:
            _live.remove(self)
        if not self._blocked and self._handle and os.getpid() == self._process:
            library.library().cddp_destroy(self._handle)
        self._keep = None

    def _check_usable(self) -> None:
        if os.getpid() != self._process:
            raise ForkError(f"process {os.getpid()} was forked from process {self._process}, which had joined: only that "
                            "one may take part (DataLoader workers and other children must not call the optimizer)")
        if self._over:
            raise StateError("this worker has left the training: make a new optimizer to join again")
        if self._blocked:
            raise StateError("a call was interrupted and has not returned yet: this worker can only be ended")

    def _call(self, function: Callable[[], int]) -> None:
        """Makes a call that may take long, in a thread of its own, so that Ctrl-C ends the wait for it."""
        self._check_usable()
        if threading.current_thread() is not threading.main_thread():
            library.check(function())
            return
        _in_thread(lambda: self._make(function), None)

    def _make(self, function: Callable[[], int]) -> None:
        self._blocked = True
        try:
            library.check(function())
        finally:
            self._blocked = False

    def end_at_exit(self, finished: bool) -> None:
        """For the end of the process: waits for a few seconds only, and raises nothing."""
        if self._over or self._blocked or os.getpid() != self._process:
            return
        with contextlib.suppress(Error, TimeoutError):
            _in_thread(lambda: self._make(lambda: library.library().cddp_leave(self._handle, int(finished))),
                       _LEAVE_SECONDS)
        self.close()


def _in_thread(function: Callable[[], _T], seconds: float | None) -> _T:
    """Returns the function's result or raises its exception. After KeyboardInterrupt or TimeoutError it runs on."""
    outcome: list[tuple[_T | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # noqa: BLE001: raised again below
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True, name="cddp")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError
    result, error = outcome[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


_live: list[Client] = []  # this process's clients that have not left


def live() -> Iterator[Client]:
    return iter(list(_live))


_log_callback: object = None
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


def _log_to_python() -> None:
    """Hands the library's lines to the logger "cddp"."""
    global _log_callback
    if _log_callback is not None:
        return

    def write(_context: int, level: int, line: bytes) -> None:
        _LOG.log(_LEVELS[level], "%s", line.decode(errors="replace"))

    _log_callback = library.LogCallback(write)
    least = next(number for number, level in enumerate(_LEVELS) if _LOG.isEnabledFor(level) or level == logging.ERROR)
    library.library().cddp_set_log(_log_callback, None, least)


@atexit.register
def _leave_at_exit() -> None:
    """Leaves for clients whose program ended without leaving."""
    failed = getattr(sys, "last_value", None) is not None
    for client in live():
        client.end_at_exit(finished=not failed)
    if _log_callback is not None:
        library.library().cddp_set_log(library.LogCallback(), None, 0)


def _after_fork_in_child() -> None:
    # The child cannot use the parent's clients, and must not leave for them at its exit.
    _live.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
