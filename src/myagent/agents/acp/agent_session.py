"""A session of one of our agents as its client knows it, and what can be done with those that were kept."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from myagent.agents import Agent, TurnEnd
from myagent.agents.acp.rpc import INVALID_PARAMS, RpcError
from myagent.agents.rendering import JSON
from myagent.core.messages import PermissionMode

TITLE_CHARACTERS = 80

Forget = Callable[[str, Path], Awaitable[None]]
History = Callable[[str, Path], Awaitable[list[JSON] | None]]


@dataclass(slots=True)
class Session:
    """`agent_session_id` is what its last turn ended with."""

    session_id: str
    cwd: Path
    mode: PermissionMode = "default"
    agent_session_id: str | None = None
    title: str = ""  # its first prompt
    running: asyncio.Task[TurnEnd] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # no turn runs
    turns: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


def history_of(agent: Agent) -> History | None:
    """How to have an earlier session of the agent told again, where it remembers any."""
    return getattr(agent, "history", None)


def forget_of(agent: Agent) -> Forget | None:
    """How to have it forget an earlier session, where it remembers any."""
    return getattr(agent, "forget", None)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def directory_of(params: JSON) -> Path:
    cwd = params.get("cwd")
    if not isinstance(cwd, str) or "\0" in cwd or not Path(cwd).is_absolute() or not Path(cwd).is_dir():
        raise RpcError(INVALID_PARAMS, "cwd must be the absolute path of a directory")
    return Path(cwd).resolve()


def title_of(prompt: str) -> str:
    line = prompt.strip().partition("\n")[0]
    return line if len(line) <= TITLE_CHARACTERS else f"{line[: TITLE_CHARACTERS - 1]}…"
