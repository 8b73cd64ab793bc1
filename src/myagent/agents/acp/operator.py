"""What the operator says of an agent that he knows, and of the directory that it works in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from myagent.agents.acp.directory import Program
from myagent.agents.acp.presets import Preset
from myagent.exceptions import AgentUnavailable


class NoSuchMethod(AgentUnavailable):
    """The operator names a method to authenticate with that the agent does not offer."""

    def __init__(self, agent: str, method: str, offered: Iterable[str]) -> None:
        names = ", ".join(offered) or "none"
        super().__init__(agent, f"it offers no method {method} to authenticate with; it offers {names}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """`asking_mode` and `plan_mode` are ids of the agent's modes: one in which it asks, one in which it changes
    nothing. `auth_method` is what to authenticate with. `accepted` are the programs that this directory's settings may
    start; with `trusts_directory` all of them."""

    asking_mode: str | None = None
    plan_mode: str | None = None
    auth_method: str | None = None
    trusts_directory: bool = False
    accepted: frozenset[Program] = frozenset()

    def over(self, preset: Preset) -> Preset:
        """What is known of the agent, with what the operator says instead of it."""
        if self.asking_mode is not None:
            preset = replace(preset, asking=self.asking_mode, asks=True)
        return preset if self.plan_mode is None else replace(preset, plan=self.plan_mode)

    def named(self) -> tuple[str, ...]:
        """What of this he named, as the command line calls it; trust in the directory is for any agent."""
        given = {
            "--asking-mode": self.asking_mode,
            "--plan-mode": self.plan_mode,
            "--auth-method": self.auth_method,
        }
        return tuple(option for option, value in given.items() if value is not None)

    def says(self) -> str:
        """His words on how it asks, for the banner; nothing where he said none."""
        modes = (("asks in", self.asking_mode), ("plans in", self.plan_mode))
        return ", ".join(f"{what} {mode}" for what, mode in modes if mode is not None)

    def method(self, agent: str, offered: list[str]) -> str | None:
        """What to authenticate with, if he named that; raises `NoSuchMethod`."""
        if self.auth_method is not None and self.auth_method not in offered:
            raise NoSuchMethod(agent, self.auth_method, offered)
        return self.auth_method


NOTHING_SAID = Operator()
