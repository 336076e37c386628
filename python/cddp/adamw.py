"""AdamW in one pass over the weights."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch

from . import library

_OTHER_WAYS = ("amsgrad", "maximize", "capturable", "differentiable", "foreach", "fused")  # each needs PyTorch's own step


class AdamW(torch.optim.AdamW):
    """torch.optim.AdamW with the same arguments, the same state and, except for rounding, the same results.

    On the host each step reads and writes the arrays once, whereas PyTorch before 2.4 passes over them ten times. It uses
    one thread. If PyTorch has several (torch.set_num_threads, OMP_NUM_THREADS), or a parameter is not float32 on the host,
    it makes PyTorch's own step.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if not self._is_simple():
            return super().step(closure)
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_of(parameter, group)
        return result

    def _is_simple(self) -> bool:
        if torch.get_num_threads() > 1 or any(
                group.get(way) or group["eps"] == 0 for group in self.param_groups for way in _OTHER_WAYS):
            return False
        parts = [part for group in self.param_groups for parameter in group["params"] for part in (parameter, parameter.grad)]
        return all(part is None or (part.dtype == torch.float32 and part.device.type == "cpu" and not part.is_sparse
                                    and part.is_contiguous()) for part in parts)

    def _step_of(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:  # as PyTorch makes it
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        options = library.AdamW(step=int(state["step"]), lr=float(group["lr"]), beta1=beta1, beta2=beta2, epsilon=group["eps"],
                                weight_decay=group["weight_decay"])
        arrays = (parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"])
        library.check(library.library().cddp_adamw_step(ctypes.byref(options), parameter.numel(),
                                                        *(array.data_ptr() for array in arrays)))
