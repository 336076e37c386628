"""Rounds of a program's own steps, each with an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .client import Client


class Rounds:
    """Counts steps and their weights; the library says when to exchange."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.steps = 0  # since the last exchange began
        self.weight = 0.0  # of these together

    def note_step(self, weight: float) -> bool:
        """A step was made. True: begin(), the client's finish() and note_finished() must follow."""
        self.steps += 1
        self.weight += weight
        return self._client.note_step()

    def begin(self) -> None:
        self._client.begin(weight=self.weight / max(1, self.steps), loss=self._client.loss)  # 0: no examples

    def note_finished(self) -> None:
        # Not so where only the answer of an overlapped exchange has come.
        if self._client.statistics().local_steps == 0:
            self.steps = 0
            self.weight = 0.0

    def state(self) -> dict[str, float]:
        return {"round": self.steps, "weight": self.weight}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.steps, self.weight = state["round"], state["weight"]

    def until_together(self) -> int:
        """How many exchanges, one after the other, leave all workers with the same weights."""
        if not self._client.statistics().under_way:
            return 1
        return 2 if self.steps > 0 else 1
