"""Tells when a parameter's gradient is complete, during the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def on_gradient(parameter: torch.Tensor, call: Callable[[], None]) -> Any:
    """Makes each backward pass call `call` once it has added to parameter.grad. The hook lasts as long as the result."""
    if hasattr(parameter, "register_post_accumulate_grad_hook"):  # PyTorch 2.1
        return parameter.register_post_accumulate_grad_hook(lambda _: call())
    # The node of the graph that adds the gradient; a view leads to it.
    accumulator = parameter.expand_as(parameter).grad_fn.next_functions[0][0]
    accumulator.register_hook(lambda *_: call())
    return accumulator
