"""The names of the workspace's files, for whoever types one: what git does not ignore, else what a walk finds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from myagent.agents.processes.process import child_environment, run
from myagent.core.content import is_inside
from myagent.exceptions import MyagentError

ENTRIES = 50_000  # looked at
LIST_CHARACTERS = 8 << 20  # of what git tells
GIT_SECONDS = 5.0

# Directories full of what nobody wrote here, where git does not say so.
_MADE = {"node_modules", "venv", "__pycache__", "target", "dist", "build"}
# Nothing of the repository's own settings runs a program by this.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "ls-files", "-coz", "--exclude-standard")


async def list_files(workspace: Path) -> list[str]:
    """Paths from the workspace, of files that are there; none in `.git` or `.myagent`, none behind a link."""
    told = await _from_git(workspace)
    if told is None:
        return await asyncio.to_thread(lambda: [path for path in _walked(workspace) if is_inside(path)])
    return await asyncio.to_thread(
        lambda: [path for path in told if is_inside(path) and os.path.lexists(workspace / path)]
    )


async def _from_git(workspace: Path) -> list[str] | None:
    """What git tells, `None` where it is no repository, or git is not there or takes too long."""
    said: list[str] = []
    size = 0

    async def hear(text: str) -> None:
        nonlocal size
        if size < LIST_CHARACTERS:
            said.append(text)
        size += len(text)

    async def ignore(_: str) -> None:
        pass

    env = {key: value for key, value in child_environment().items() if not key.startswith("GIT_")}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    try:
        async with asyncio.timeout(GIT_SECONDS):
            code = await run(_GIT, cwd=workspace, env=env, stdout=hear, stderr=ignore)
    except (TimeoutError, MyagentError, OSError):
        return None
    rows = "".join(said).split("\0")[:-1]
    return list(dict.fromkeys(rows))[:ENTRIES] if code == 0 else None


def _walked(workspace: Path) -> Iterator[str]:
    """Breadth first: what is near comes before the bound does."""
    waiting, seen = [""], 0
    while waiting and seen < ENTRIES:
        below = waiting.pop(0)
        try:
            entries = sorted(os.scandir(workspace / below), key=lambda each: each.name)
        except OSError:
            continue
        for entry in entries:
            seen += 1
            path = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _MADE and not entry.name.startswith("."):
                    waiting.append(f"{path}/")
            elif entry.is_file(follow_symlinks=False) and _is_utf8(path):
                yield path


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
