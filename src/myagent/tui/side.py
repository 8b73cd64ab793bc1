"""The column beside the stream, on wide terminals: what one would otherwise have to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text
from textual.widgets import Static

from myagent.client import Client
from myagent.core.messages import Metadata
from myagent.text.wording import name_line, one_line
from myagent.tui.story import Story, Tool

WIDE = 140  # columns of the terminal from which on there is room for it
WIDTH = 38
SESSIONS = 8
FILES = 12
STEPS = 12

_STEP = {"pending": "·", "in_progress": "~", "completed": "✓"}
_STATE = {"running": "~", "failed": "✗", "completed": "✓"}


class Side(Static):
    """Shown while the terminal is wide enough."""

    def tell(self, client: Client, shown: Metadata | None, story: Story, followers: int) -> None:
        self.update(column(client, shown, story, followers, WIDTH - 2))


def column(client: Client, shown: Metadata | None, story: Story, followers: int, width: int) -> Text:
    """The sections that have something to say, each line no wider than `width`."""
    text = Text(no_wrap=True)
    for title, lines in (
        ("Here", list(_here(client, followers))),
        ("Plan", plan(story)),
        ("Changed", changed(story)),
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
    owner = client.owner
    if client.role == "owner":
        yield "you own the session"
    else:
        yield f"owner: {name_line(owner.label or owner.connection_id) if owner else 'nobody'}"
    yield f"{followers} follower{'' if followers == 1 else 's'}"


def _sessions(client: Client, shown: Metadata | None) -> Iterator[str]:
    latest = sorted(client.sessions.values(), key=lambda each: each.updated_at, reverse=True)
    asking = {request.session_id for request in client.requests.values()}
    lines = []
    for each in latest:
        state = "?" if each.session_id in asking else _STATE.get(each.state, " ")
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
