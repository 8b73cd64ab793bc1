"""What can go wrong, as classes: each takes facts, and `__str__` makes the sentence."""

from __future__ import annotations


class MyagentError(Exception):
    """Base of everything that this package raises on purpose; `str()` is one clear line for a human."""


class AgentUnavailable(MyagentError):
    """An agent cannot run here: what is missing, and how to get it."""

    def __init__(self, agent: str, reason: str, remedy: str = "") -> None:
        super().__init__(agent, reason, remedy)
        self.agent, self.reason, self.remedy = agent, reason, remedy

    def __str__(self) -> str:
        return f"agent {self.agent} cannot run: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")
