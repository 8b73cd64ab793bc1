"""The agent port: what the host asks of an agent, and what an agent may say during a turn.

An adapter is any object with the methods of `Agent`. The command agent (`command.py`), the ACP host (`acp.py`)
and whatever a user of the Python API passes to the server are adapters of equal rank.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from myagent.core.choices import Choice
from myagent.core.messages import PermissionMode
from myagent.core.permissions import Answer, ToolCall
from myagent.core.questions import Asked, Given

__all__ = [
    "Agent",
    "AgentInfo",
    "Answer",
    "Asked",
    "Attached",
    "Given",
    "Outside",
    "OwnTurn",
    "ToolCall",
    "Turn",
    "TurnEnd",
    "TurnIO",
    "UnaskedCall",
]


@dataclass(frozen=True, slots=True)
class Attached:
    """What a prompt carries beside its text: more `text`; a `link` to `path` in the workspace, called `name` there; an
    `image` or `file`, whose bytes are at `path`."""

    kind: Literal["text", "image", "file", "link"]
    text: str = ""
    name: str = ""
    mime_type: str = ""
    path: Path | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt to be answered. `agent_session_id` is what an earlier turn of the session ended with, if any.

    `skill_names` are skills to use; an adapter says which of them it could not pass on (`skills.py`).
    """

    session_id: str
    turn_id: str
    prompt: str
    mode: PermissionMode
    cwd: Path
    agent_session_id: str | None = None
    skill_names: tuple[str, ...] = ()
    credential_places: tuple[str, ...] = ()  # what the operator changed of those that our own tools know
    choices: tuple[Choice, ...] = ()  # what an owner chose of what the agent offers
    allow_bypass: bool = False  # such as let it act unasked count
    content: tuple[Attached, ...] = ()  # beside the prompt; an image or file only for an agent that `takes` it


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn ended.

    `stop_reason` is ACP's (end_turn, max_tokens, max_turn_requests, refusal, cancelled) or "failed".
    `exit_code` is the agent's own where it has one; `None` lets the host choose: 0 for end_turn, 130 for cancelled,
    else 1. `message` says why it failed, for a human.
    """

    stop_reason: str = "end_turn"
    exit_code: int | None = None
    message: str | None = None
    agent_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class UnaskedCall:
    """A tool call of a hosted agent that ran, or runs, and that nobody was asked about. `swapped`: somebody was, about
    another command; `refused`: somebody was, and did not allow it; `standing`: an answer that was given for more than
    one call may cover it."""

    call_id: str
    title: str
    kind: str
    swapped: bool = False
    standing: bool = False
    refused: bool = False

    def __str__(self) -> str:
        if self.refused:
            return f"{self.title}: it ran although it was not allowed"
        if self.swapped:
            return f"{self.title}: it runs or changes something else than what was allowed"
        return f"{self.title}: it ran and nobody was asked"


class TurnIO(Protocol):
    """The host's side of a running turn, in the hands of the agent."""

    async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        """Say `text` as the agent; returns when there is room for more (back-pressure), not when it is stored.

        `update` is the structured update (ACP `session/update`) that the text renders; it goes with the first chunk.
        """

    async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        """Say `text` beside the answer: tool calls, thoughts, a command's stderr. An update that renders to nothing
        is said with empty text."""

    async def ask(self, call: ToolCall) -> Answer:
        """Ask permission for a tool call; returns when somebody decided, or when it expired or was cancelled.

        In mode `plan` everything asked for is denied, in `bypassPermissions` everything is allowed, at once.
        """

    async def question(self, asked: Asked) -> Given:
        """Ask whoever may answer to fill in a form, or to visit an address; returns when somebody has, or `cancel` when
        it expired or the turn was cancelled. Being cancelled takes it back. Every mode asks: nothing runs by it."""

    async def unasked(self, call: UnaskedCall) -> None:
        """Tell everybody, at once, that a tool call ran without anybody having been asked."""

    def tell(self, **state: Any) -> None:
        """Keep latest-only state of the session (title, mode, commands, usage) for `session_metadata`."""


class OwnTurn(Protocol):
    """What an agent says and asks in a session while no turn runs there: a turn that nobody prompted."""

    def is_due(self) -> bool:
        """Whether there still is something to say or ask; looked at just before the turn is opened."""

    async def run(self, io: TurnIO) -> TurnEnd:
        """Say it, and return when the agent is quiet again. Being cancelled means the same as in `Agent.run`."""

    def hurry(self) -> None:
        """A prompt waits for the end of this turn: return as soon as nothing is asked any more."""


class Outside(Protocol):
    """The host's side between turns. An adapter whose agent goes on by itself has a method `attend(outside)`, which is
    called before `start`."""

    @property
    def quiet_seconds(self) -> float:
        """After so long without a word an agent has stopped, where it does not say so."""

    def begin(self, session_id: str, own: OwnTurn) -> None:
        """Open a turn of the agent's own in a session (`Turn.session_id`), now or when what runs there has ended."""


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """What an agent is called; `note` is one line for the operator ("no model configured: command mode"). `secrets` are
    texts that it knows from its start on and that nobody may see; the host covers them. `waits_for` is what is
    outstanding while it starts ("its answer to initialize"). `takes`: what a prompt may carry: image, file."""

    name: str
    version: str = ""
    note: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    waits_for: str = ""
    takes: tuple[str, ...] = ()


class Agent(Protocol):
    """Something that answers prompts."""

    @property
    def info(self) -> AgentInfo: ...

    async def start(self) -> None:
        """Get ready; called once, before the first turn. Raises `AgentUnavailable` with the reason and the remedy."""

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        """Answer one prompt. Turns of different sessions run at the same time; those of one session never do.

        Being cancelled (asyncio's `CancelledError`) means: stop what runs, clean up, then re-raise.
        """

    async def close(self) -> None:
        """End every process that this agent started; idempotent."""
