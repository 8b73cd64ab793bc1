"""The column beside the stream, on wide terminals: what one would otherwise have to ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rich.text import Text
from textual.widgets import Static

from myagent.client import Client
from myagent.core.messages import Metadata
from myagent.text.wording import one_line, state_word
from myagent.tui.status import owner_name
from myagent.tui.story import Story, Tool

WIDE = 140  # columns of the terminal from which on there is room for it
WIDTH = 38
SESSIONS = 8
FILES = 12
STEPS = 12
WALK_SECONDS = 0.5

_STEP = {"pending": "·", "in_progress": "~", "completed": "✓"}
_STATE = {"running": "~", "failed": "✗", "stopped": "■", "completed": "✓"}


class Side(Static):
    """Shown while the terminal is wide enough. The story is walked at most twice a second."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._walked = (0.0, 0)  # when, and through which story
        self._told: tuple[list[str], list[str]] = ([], [])

    def tell(self, client: Client, shown: Metadata | None, story: Story, followers: int) -> None:
        walked, now = self._walked, time.monotonic()
        if walked[1] != id(story) or now - walked[0] > WALK_SECONDS:
            self._walked, self._told = (now, id(story)), (plan(story), changed(story))
        self.update(column(client, shown, *self._told, followers, WIDTH - 2))


def column(
    client: Client, shown: Metadata | None, steps: list[str], files: list[str], followers: int, width: int
) -> Text:
    """The sections that have something to say, each line no wider than `width`."""
    text = Text(no_wrap=True)
    for title, lines in (
        ("Here", list(_here(client, followers))),
        ("Plan", steps),
        ("Changed", files),
        ("Sessions", list(_sessions(client, shown))),
    ):
        if lines:
            text.append(f"{title}\n", "bold")
            for line in lines:
                row = Text(f" {line}")
                row.truncate(width, overflow="ellipsis")
                text.append(row).append("\n")
            text.append("\n")
    return text


def plan(story: Story) -> list[str]:
    """The latest plan, a step a line."""
    entries: list[Any] = []
    for tool in _tools(story):
        if isinstance(found := tool.call.get("entries"), list):
            entries = found
    steps = [each for each in entries if isinstance(each, dict)]
    lines = [f"{_STEP.get(str(each.get('status')), '?')} {one_line(str(each.get('content') or ''))}" for each in steps]
    return _first(lines, STEPS)


def changed(story: Story) -> list[str]:
    """The files that tool calls have changed, as far as the stretch that is here tells: the latest first."""
    found: dict[str, str] = {}
    for tool in _tools(story):
        content = tool.call.get("content") if tool.call.get("status") == "completed" else None
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") == "diff" and isinstance(part.get("path"), str):
                found.pop(part["path"], None)
                found[part["path"]] = "new" if part.get("oldText") is None else "changed"
    lines = [f"{one_line(_name(path))} ({how})" for path, how in reversed(found.items())]
    return _first(lines, FILES)


def _here(client: Client, followers: int) -> Iterator[str]:
    yield "you own the session" if client.role == "owner" else f"owner: {owner_name(client)}"
    yield f"{followers} follower{'' if followers == 1 else 's'}"


def _sessions(client: Client, shown: Metadata | None) -> Iterator[str]:
    latest = sorted(client.sessions.values(), key=lambda each: each.updated_at, reverse=True)
    asking = {asked.session_id for asked in (*client.requests.values(), *client.questions.values())}
    lines = []
    for each in latest:
        state = "?" if each.session_id in asking else _STATE.get(state_word(each.state, each.last_exit_code), " ")
        mark = "▸" if shown is not None and each.session_id == shown.session_id else " "
        lines.append(f"{mark}{state} {one_line(each.title) or '(no prompt yet)'}")
    yield from _first(lines, SESSIONS)


def _tools(story: Story) -> Iterator[Tool]:
    return (item for item in story.items if isinstance(item, Tool))


def _name(path: str) -> str:
    """The end of a path, which tells more than its beginning."""
    parts = path.rstrip("/").split("/")
    return "/".join(parts[-2:])


def _first(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"… {len(lines) - most} more"]
