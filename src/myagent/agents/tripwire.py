"""Notifications a tool call that changes or runs something and that nobody was asked about.

Pure. It sees what an agent tells of its calls and what it asks. An agent that tells nothing cannot be seen here: this
prevents nothing, it is how an agent that we take to ask is found not to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from myagent.agents import Answer, UnaskedCall
from myagent.agents.said import CHANGING, commands_in
from myagent.core.permissions import canonical
from myagent.exceptions import MyagentError

Suspicion = Literal["none", "begun", "unasked"]

OnUnasked = Literal["stop", "tell"]

_NOTHING_RUNS = ("pending", "failed", "cancelled")
_OUTPUT_META = ("terminal_output", "terminal_output_delta", "terminal_exit")


class RanUnasked(MyagentError):
    """An agent ran something that nobody was asked about, and its turn ends for that."""

    def __init__(self, agent: str, title: str) -> None:
        super().__init__(agent, title)
        self.agent, self.title = agent, title

    def __str__(self) -> str:
        what = f"{self.agent} ran a tool and nobody was asked ({self.title})"
        return f"stopped: {what}; --on-unasked tell would let it go on"


@dataclass(slots=True)
class Tripwire:
    """One turn's calls.

    `sandboxed`: the agent runs commands unasked, within a sandbox that lets them change nothing.
    `standing`: a human chose an answer of the agent's that allows more than one call, so some need not be asked for.
    """

    sandboxed: bool = False
    standing: bool = False
    _asked: set[str] = field(default_factory=set)  # calls that are, or were, put to a human
    _inputs: list[bytes] = field(default_factory=list)  # of allowed calls, for agents that ask under another id
    _commands: dict[str, list[str]] = field(default_factory=dict)  # what was shown to be run, by call
    _told: set[str] = field(default_factory=set)
    _begun: set[str] = field(default_factory=set)

    def asks(self, call: Mapping[str, Any]) -> None:
        """The agent asks about a call."""
        call_id = str(call.get("toolCallId"))
        self._asked.add(call_id)
        self._commands[call_id] = commands_in(call.get("rawInput"))

    def answered(self, call: Mapping[str, Any], answer: Answer, *, always: bool) -> None:
        """A human, or the mode, answered; `always` is an answer for more than this call."""
        self.standing = self.standing or (answer.kind == "allow" and always)
        if answer.kind == "allow" and call.get("rawInput"):
            self._inputs.append(canonical(call["rawInput"]))

    def sees(self, call: Mapping[str, Any]) -> Suspicion:
        """What a call, as it now stands, gives reason to: `begun` may still be asked about by an agent that tells of a
        call before it asks; `unasked` ran, or is running, without."""
        call_id, status = str(call.get("toolCallId")), call.get("status", "pending")
        if call_id in self._told or not self._matters(call):
            return "none"
        if call_id in self._asked:
            return "unasked" if status in ("in_progress", "completed") and self._swapped(call_id, call) else "none"
        if status == "completed" or (_ran(call) and call_id in self._begun):
            return "none" if self._asked_elsewhere(call) else "unasked"
        if status in _NOTHING_RUNS:
            return "none"
        self._begun.add(call_id)
        return "begun"

    def is_unasked(self, call: Mapping[str, Any]) -> bool:
        """Whether a call that had begun was never asked about, now that it has had time, or its turn is over."""
        call_id = str(call.get("toolCallId"))
        open_ = call.get("status", "pending") == "in_progress"
        if call_id in self._told or call_id in self._asked or not open_ or not self._matters(call):
            return False
        return not self._asked_elsewhere(call)

    def tells(self, call: Mapping[str, Any], title: str) -> UnaskedCall:
        """A call that nobody was asked about, to be told once."""
        call_id = str(call.get("toolCallId"))
        self._told.add(call_id)
        swapped = call_id in self._asked
        return UnaskedCall(call_id, title, str(call.get("kind") or "other"), swapped=swapped, standing=self.standing)

    def _matters(self, call: Mapping[str, Any]) -> bool:
        content = call.get("content")
        rows = content if isinstance(content, list) else []
        if any(isinstance(row, dict) and row.get("type") == "diff" for row in rows):
            return True
        kind = call.get("kind")
        runs = kind == "execute" or bool(commands_in(call.get("rawInput")))
        return (runs and not self.sandboxed) or (kind in CHANGING and kind != "execute")

    def _swapped(self, call_id: str, call: Mapping[str, Any]) -> bool:
        """Whether the call now names another command than the one that was asked about."""
        shown, now = self._commands.get(call_id, []), commands_in(call.get("rawInput"))
        return bool(shown and now) and not set(now) <= set(shown)

    def _asked_elsewhere(self, call: Mapping[str, Any]) -> bool:
        """Whether this very input was allowed under another id; each such answer is for one call."""
        given = call.get("rawInput")
        if not given or (whole := canonical(given)) not in self._inputs:
            return False
        self._inputs.remove(whole)
        self._asked.add(str(call.get("toolCallId")))
        return True


def _ran(call: Mapping[str, Any]) -> bool:
    """Whether a call, whatever its status, has output: then it was carried out."""
    meta = call.get("_meta")
    return call.get("rawOutput") is not None or (isinstance(meta, dict) and any(key in meta for key in _OUTPUT_META))
