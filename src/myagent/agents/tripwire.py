"""Notifications a tool call that changes or runs something and that nobody was asked about.

Pure. It sees what an agent tells of its calls and what it asks. An agent that tells nothing cannot be seen here: this
prevents nothing, it is how an agent that we take to ask is found not to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from myagent.agents import Answer, ToolCall, UnaskedCall
from myagent.agents.rendering.blocks import diffs_of
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
    _asking: Counter[str] = field(default_factory=Counter)  # requests that wait for an answer, by call
    _allowed: dict[str, list[ToolCall]] = field(default_factory=dict)  # allowed calls, as each was shown
    _refused: set[str] = field(default_factory=set)  # calls that were asked about and not allowed
    _inputs: dict[str, bytes] = field(default_factory=dict)  # of allowed calls, for agents that ask under another id
    _seen: set[str] = field(default_factory=set)  # calls that were told of, not only asked about
    _told: set[str] = field(default_factory=set)
    _begun: set[str] = field(default_factory=set)

    def asks(self, asked: ToolCall) -> None:
        """The agent asks about a call, of which a human is shown `asked`."""
        self._asking[_id(asked)] += 1

    def answered(self, asked: ToolCall, answer: Answer, *, always: bool) -> None:
        """A human, or the mode, answered; `always` is an answer for more than this call."""
        call_id = _id(asked)
        self._asking[call_id] -= 1
        if answer.kind != "allow":
            self._refused.add(call_id)
            return
        self.standing = self.standing or always
        self._allowed.setdefault(call_id, []).append(asked)
        if given := asked.plan["call"].get("rawInput"):
            self._inputs[call_id] = canonical(given)

    def sees(self, call: Mapping[str, Any]) -> Suspicion:
        """What a call, as it now stands, gives reason to: `begun` may still be asked about by an agent that tells of a
        call before it asks; `unasked` ran, or is running, without having been allowed."""
        call_id, status = str(call.get("toolCallId")), call.get("status", "pending")
        self._seen.add(call_id)
        if call_id in self._told or not self._matters(call):
            return "none"
        if call_id in self._allowed:
            return "unasked" if status in ("in_progress", "completed") and self._swapped(call_id, call) else "none"
        has_run = status == "completed" or (_ran(call) and call_id in self._begun)
        if self._asking[call_id] > 0 or call_id in self._refused:
            return "unasked" if status == "completed" else "none"
        if has_run:
            return "none" if self._asked_elsewhere(call) else "unasked"
        if status in _NOTHING_RUNS:
            return "none"
        self._begun.add(call_id)
        return "begun"

    def is_unasked(self, call: Mapping[str, Any]) -> bool:
        """Whether a call that had begun was never asked about, now that it has had time, or its turn is over."""
        call_id = str(call.get("toolCallId"))
        known = call_id in self._told or call_id in self._allowed or call_id in self._refused
        open_ = call.get("status", "pending") == "in_progress"
        if known or self._asking[call_id] > 0 or not open_ or not self._matters(call):
            return False
        return not self._asked_elsewhere(call)

    def tells(self, call: Mapping[str, Any], title: str) -> UnaskedCall:
        """A call that nobody was asked about, to be told once."""
        call_id = str(call.get("toolCallId"))
        self._told.add(call_id)
        swapped, refused = call_id in self._allowed, call_id in self._refused
        kind = str(call.get("kind") or "other")
        # How far a standing answer reaches is the agent's to know; not over what was refused by name.
        standing = self.standing and not refused
        return UnaskedCall(call_id, title, kind, swapped=swapped, standing=standing, refused=refused and not swapped)

    def _matters(self, call: Mapping[str, Any]) -> bool:
        content = call.get("content")
        rows = content if isinstance(content, list) else []
        if any(isinstance(row, dict) and row.get("type") == "diff" for row in rows):
            return True
        kind = call.get("kind")
        runs = kind == "execute" or bool(commands_in(call.get("rawInput")))
        return (runs and not self.sandboxed) or (kind in CHANGING and kind != "execute")

    def _swapped(self, call_id: str, call: Mapping[str, Any]) -> bool:
        """Whether the call now names a command, or changes a file, that no allowed request of it showed."""
        shown = self._allowed[call_id]
        commands, paths = commands_in(call.get("rawInput")), [diff.path for diff in diffs_of(dict(call))]
        unseen = [text for text in commands if not any(_shows_command(asked, text) for asked in shown)]
        return bool(unseen) or not all(any(_shows_path(asked, path) for asked in shown) for path in paths)

    def _asked_elsewhere(self, call: Mapping[str, Any]) -> bool:
        """Whether this very input was allowed under an id that no call has; each such answer is for one call."""
        given = call.get("rawInput")
        if not given:
            return False
        whole = canonical(given)
        for asked_id, allowed in self._inputs.items():
            if allowed == whole and asked_id not in self._seen:
                del self._inputs[asked_id]
                self._allowed[str(call.get("toolCallId"))] = self._allowed.pop(asked_id)
                return True
        return False


def _id(asked: ToolCall) -> str:
    return str(asked.plan["call"].get("toolCallId"))


def _shows_command(asked: ToolCall, command: str) -> bool:
    """Whether a human who allowed a request had read this command, or had been told that it names none."""
    said: Mapping[str, Any] = asked.plan["said"]
    commands = [text for row in said["inputs"] for text in commands_in(row)]
    return command in (commands or asked.text) or "unspecified" in asked.flags


def _shows_path(asked: ToolCall, path: str) -> bool:
    """The same of a file; some agents tell it by its path, some by its name."""
    return not asked.diffs or path.rpartition("/")[2] in asked.text


def _ran(call: Mapping[str, Any]) -> bool:
    """Whether a call, whatever its status, has output: then it was carried out."""
    meta = call.get("_meta")
    return call.get("rawOutput") is not None or (isinstance(meta, dict) and any(key in meta for key in _OUTPUT_META))
