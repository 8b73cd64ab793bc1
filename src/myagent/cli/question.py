"""The permission question on the local terminal: what is shown, and how an answer is read and can be withdrawn."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from myagent.core.messages import PermissionRequest
from myagent.terminal import RESET, visible
from myagent.wording import diff_lines, escaped_line, time_left, warning, whole_line

MARK = "[remote]"  # begins a line of our own
PROMPT = "Allow? [y/N] "
GUARD = 0.3  # seconds between what is asked and the place to answer: keys that were meant for something else are lost

_BOLD, _RED, _GREEN, _YELLOW = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"


def describe(request: PermissionRequest, *, cwd: str, now: datetime, colour: bool, mark: str = MARK) -> str:
    """All that a human should read before deciding; ends before the prompt."""
    return "\n".join(_lines(request, cwd, now, _Paint(colour), mark)) + "\n"


class _Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if self._on else text


def _lines(request: PermissionRequest, cwd: str, now: datetime, paint: _Paint, mark: str) -> Iterator[str]:
    body = request.request
    title = body.title or body.tool_name
    yield paint(_BOLD, f"{mark} permission needed: {escaped_line(title)}")
    yield f"  tool     {escaped_line(body.tool_name)}"
    if cwd:
        yield f"  in       {whole_line(cwd)}"
    if body.reason:
        yield f"  because  {escaped_line(body.reason)}"
    left = time_left(body.expires_at, now)
    if left:
        yield f"  expires  {left}"
    for line in visible(body.display).split("\n"):
        yield f"  | {line}"
    for line in (line for diff in body.diffs for line in diff_lines(diff)):
        style = {"+": _GREEN, "-": _RED}.get(line[:1])
        yield "  " + (paint(style, line) if style else line)
    for flag in body.flags:
        yield paint(_YELLOW, f"  warning: {warning(flag)}")
    if body.flags:
        yield paint(_YELLOW, "  because of that, y is not enough: type the word allow")


class Keyboard:
    """Lines typed at a terminal that is in its ordinary line-editing mode."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def discard(self) -> None:
        """Throw away what was typed and not read."""
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error:  # the terminal is gone, as reading from it will tell
            pass

    async def line(self) -> str | None:
        """The next line, `None` at the end of input. Being cancelled leaves the terminal as it was."""
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, _wake, readable)
        try:
            await readable
        finally:
            loop.remove_reader(self._fd)
        try:
            data = os.read(self._fd, 4096)
        except OSError:  # the terminal is gone
            return None
        return data.decode(errors="replace").strip() if data else None


async def ask(
    request: PermissionRequest, keyboard: Keyboard, write: Callable[[str], None], *, cwd: str, mark: str = MARK
) -> bool:
    """Show a permission request and return whether the human allows it. Cancel it to withdraw the question."""
    colour = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    write(describe(request, cwd=cwd, now=datetime.now(UTC), colour=colour, mark=mark))
    await asyncio.sleep(GUARD)
    keyboard.discard()
    while True:
        write(PROMPT)
        answer = await keyboard.line()
        if answer is None:
            write("\n")
            return False
        match answer.lower():
            case "allow":
                return True
            case "y" | "yes" if not request.request.flags:
                return True
            case "y" | "yes":
                write(f"{mark} this request has warnings: type the word allow, or n\n")
            case _:
                return False


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
