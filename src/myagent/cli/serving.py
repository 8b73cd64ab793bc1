"""A server that is started for this program, and ends with it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from myagent.cli.terminal.output import say
from myagent.exceptions import MyagentError

STOP_SECONDS = 10.0  # for it to stop what runs; then it is killed
_VALUES = ("agent", "asking_mode", "plan_mode", "auth_method", "on_unasked", "model", "base_url", "context")
_FLAGS = ("trust_directory", "allow_unsupervised")


class DidNotStart(MyagentError):
    """The server could not be started; `said` is the last line that it wrote."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said

    def __str__(self) -> str:
        return f"the server could not be started: {self.said or 'it said nothing'}"


def arguments_of(arguments: argparse.Namespace, workspace: Path) -> list[str]:
    """Of `myagent serve`, for what was said to `myagent acp`."""
    given = [sys.executable, "-m", "myagent", "serve", "--quiet", "--stop-with-stdin", "--cwd", str(workspace)]
    for name in _VALUES:
        if (value := getattr(arguments, name)) is not None:
            given += [f"--{name.replace('_', '-')}", str(value)]
    for name in _FLAGS:
        if getattr(arguments, name):
            given.append(f"--{name.replace('_', '-')}")
    for server in arguments.mcp:
        given += ["--mcp", server]
    return [*given, *(["--", *arguments.agent_command] if arguments.agent_command else [])]


@asynccontextmanager
async def served(argv: list[str]) -> AsyncIterator[None]:
    """Start it, wait until it listens, and stop it at the end. What it says goes to stderr. Its standard input is a
    pipe of ours, so that it also ends when we are killed. Raises `DidNotStart`."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # what an editor does to our process group is not for it
    )
    assert process.stdin is not None
    assert process.stdout is not None
    passing: asyncio.Task[None] | None = None
    try:
        last = deque[str](maxlen=1)
        while line := (await process.stdout.readline()).decode(errors="replace"):
            last.append(line.strip().removeprefix("[remote] "))
            if last[0].startswith("connect with"):
                break
        else:
            raise DidNotStart(last[0] if last else "")
        passing = asyncio.create_task(_pass_on(process.stdout), name="serve output")
        yield
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if passing is not None:
            await passing


async def _pass_on(stream: asyncio.StreamReader) -> None:
    while line := await stream.readline():
        say(line.decode(errors="replace").rstrip("\n").removeprefix("[remote] "))
