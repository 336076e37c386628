"""What decides how a process's steps round: a worker that goes on elsewhere may make them otherwise."""

from __future__ import annotations

import logging
import os
import sys

_LOG = logging.getLogger("cddp")
# They choose other code than the processor alone would.
_VARIABLES = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "MKL_CBWR")


def _processor() -> str:
    """ "vendor/family/model", as Linux tells them of the first processor."""
    found = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                found.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    names = (("vendor_id", "CPU implementer"), ("cpu family", "CPU architecture"), ("model", "CPU part"))
    return "/".join(next((found[name] for name in pair if name in found), "unknown") for pair in names)


def kind() -> dict[str, str]:
    """Of this process, by what it has imported."""
    facts = {"processor": _processor(), **{name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}}
    if numpy := sys.modules.get("numpy"):
        facts["numpy"] = str(numpy.__version__)
    if torch := sys.modules.get("torch"):
        vectors = next((line for line in torch.__config__.show().splitlines() if "CPU capability usage" in line), "unknown")
        facts.update(torch=str(torch.__version__), vectors=vectors.rpartition(" ")[2], threads=str(torch.get_num_threads()))
    return facts


def compare(saved: dict[str, str] | None) -> None:
    """A warning if a state was saved by another kind. `saved` None: the state does not say."""
    here = kind()
    if saved is None or saved == here:
        return
    differs = "; ".join(f"{name}={saved.get(name, 'none')} there, {name}={here.get(name, 'none')} here"
                        for name in sorted({*saved, *here}) if saved.get(name) != here.get(name))
    _LOG.warning('event=other_arithmetic differs="%s" consequence="steps may round differently from those before the state '
                 "was saved; where they are made once more, the servers keep what they have counted, and what this worker "
                 'still has to send is off by the difference"', differs)
