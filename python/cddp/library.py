"""The shared library's functions and structs, as include/cddp/cddp.h declares them."""

from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

from . import errors

MAJOR_VERSION = 1
MINOR_VERSION = 1  # the least
NAME = "libcddp.so.1"

OK = 0
DEADLINE_EXCEEDED = 4
STEP_NOT_FINITE = 1
STEP_EMPTY = 2
PARAMETER = 0
BUFFER = 1
COUNTER = 2
FLOAT32 = 0
INT64 = 1
HOST = 0
CUDA = 1


class _Sized(ctypes.Structure):
    """A struct that begins with its size."""

    def __init__(self, **members: object) -> None:
        super().__init__(struct_size=ctypes.sizeof(type(self)), **members)

    def as_dict(self) -> dict[str, int | float]:
        return {name: getattr(self, name) for name, *_ in self._fields_ if name not in ("struct_size", "unused")}


class Tensor(_Sized):
    _fields_ = [("struct_size", c_uint32), ("kind", c_uint32), ("type", c_uint32), ("dimensions", c_uint32),
                ("shape", POINTER(c_int64)), ("name", c_char_p), ("data", c_void_p)]


class Memory(_Sized):
    _fields_ = [("struct_size", c_uint32), ("kind", c_uint32), ("device", c_int32), ("unused", c_uint32),
                ("stream", c_void_p)]


class StepOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("weight", c_double), ("loss", c_double),
                ("gradients", c_void_p)]


class Result(_Sized):
    _fields_ = [("struct_size", c_uint32), ("exchanged", c_uint32), ("refused", c_uint32), ("replaced", c_uint32),
                ("step", c_uint64), ("missed", c_uint64), ("pushed_bytes", c_uint64), ("pulled_bytes", c_uint64),
                ("pushed_elements", c_uint64), ("residual_norm", c_double), ("compress_seconds", c_double),
                ("wait_seconds", c_double)]


class Statistics(_Sized):
    _fields_ = [("struct_size", c_uint32), ("rank", c_uint32), ("workers", c_uint32), ("servers", c_uint32),
                ("buckets", c_uint32), ("in_place", c_uint32), ("elements", c_uint64), ("step", c_uint64),
                ("local_steps", c_uint64), ("version_at_join", c_uint64), ("exchanges", c_uint64),
                ("refused", c_uint64), ("missed", c_uint64), ("pushed_bytes", c_uint64), ("pulled_bytes", c_uint64),
                ("retries", c_uint64), ("compress_seconds", c_double), ("wait_seconds", c_double),
                ("residual_norm", c_double), ("round_steps", c_uint64), ("under_way", c_uint32), ("unused", c_uint32)]


class AdamW(_Sized):
    _fields_ = [("struct_size", c_uint32), ("unused", c_uint32), ("step", c_uint64), ("lr", c_double),
                ("beta1", c_double), ("beta2", c_double), ("epsilon", c_double), ("weight_decay", c_double)]


LogCallback = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p)

# Name: result, arguments.
_FUNCTIONS = {
    "cddp_version": (c_uint32, []),
    "cddp_error_message": (c_char_p, []),
    "cddp_code_name": (c_char_p, [c_int]),
    "cddp_set_log": (None, [LogCallback, c_void_p, c_int]),
    "cddp_options_create": (c_int, [POINTER(c_void_p)]),
    "cddp_options_destroy": (None, [c_void_p]),
    "cddp_options_set": (c_int, [c_void_p, c_char_p, c_char_p]),
    "cddp_options_get": (c_int, [c_void_p, c_char_p, c_char_p, c_size_t, POINTER(c_size_t)]),
    "cddp_options_agree": (c_int, [c_void_p, c_char_p, c_char_p]),
    "cddp_options_read_environment": (c_int, [c_void_p]),
    "cddp_option_name": (c_char_p, [c_size_t]),
    "cddp_option_help": (c_char_p, [c_size_t]),
    "cddp_join": (c_int, [c_void_p, POINTER(Tensor), c_size_t, POINTER(Memory), POINTER(c_void_p)]),
    "cddp_start": (c_int, [c_void_p]),
    "cddp_restore": (c_int, [c_void_p, c_char_p, c_size_t]),
    "cddp_leave": (c_int, [c_void_p, c_int]),
    "cddp_destroy": (None, [c_void_p]),
    "cddp_begin": (c_int, [c_void_p, POINTER(StepOptions)]),
    "cddp_ready": (c_int, [c_void_p, c_size_t, c_void_p]),
    "cddp_wait": (c_int, [c_void_p, c_double]),
    "cddp_cancel": (c_int, [c_void_p]),
    "cddp_finish": (c_int, [c_void_p, POINTER(Result)]),
    "cddp_step": (c_int, [c_void_p, POINTER(StepOptions), POINTER(Result)]),
    "cddp_note_step": (c_int, [c_void_p, POINTER(c_int)]),
    "cddp_state_size": (c_int, [c_void_p, POINTER(c_size_t)]),
    "cddp_save_state": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(c_size_t)]),
    "cddp_get_statistics": (c_int, [c_void_p, POINTER(Statistics)]),
    "cddp_adamw_step": (c_int, [POINTER(AdamW), c_size_t, c_void_p, c_void_p, c_void_p, c_void_p]),
}


def _find() -> str:
    """The path in CDDP_LIBRARY, else the library in this package, else the system's."""
    if named := os.environ.get("CDDP_LIBRARY"):
        return named
    own = pathlib.Path(__file__).parent / "lib" / NAME
    return str(own) if own.exists() else NAME


def _load() -> ctypes.CDLL:
    path = _find()
    try:
        # DEEPBIND: the library uses its own gRPC and protobuf, even if the process has others (scripts/bundle_library).
        library = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
        version = library.cddp_version()
    except (OSError, AttributeError) as error:
        raise errors.LibraryError(f"cannot load {path}: {error}; install the wheel of this package, or set CDDP_LIBRARY "
                                  "to the library's path") from None
    major, minor = divmod(version, 1000)
    if major != MAJOR_VERSION or minor < MINOR_VERSION:
        raise errors.LibraryError(f"{path} has version {major}.{minor}, this package needs {MAJOR_VERSION}.x from "
                                  f"{MAJOR_VERSION}.{MINOR_VERSION} on")
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


_library: ctypes.CDLL | None = None


def library() -> ctypes.CDLL:
    """The library, loaded at the first call. Its functions run without Python's lock (GIL)."""
    global _library
    if _library is None:
        _library = _load()
    return _library


def check(code: int) -> None:
    """Raises the exception for a function's code. Call it in the thread that called the function."""
    if code == OK:
        return
    name = library().cddp_code_name(code).decode()
    raise errors.from_code(name, library().cddp_error_message().decode(errors="replace"))
