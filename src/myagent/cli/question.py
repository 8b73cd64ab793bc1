"""The permission question on the local terminal: what is shown, and how an answer is read and can be withdrawn."""

from __future__ import annotations

import asyncio
import difflib
import os
import termios
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from myagent.core.display import escape
from myagent.core.messages import Diff, PermissionRequest
from myagent.terminal import RESET, visible

PROMPT = "Allow? [y/N] "
GUARD = 0.3  # seconds between what is asked and the place to answer: keys that were meant for something else are lost

_BOLD, _RED, _GREEN, _YELLOW = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"

_WARNINGS = {
    "bidi": "it holds characters that reorder text: what you read may not be what runs",
    "invisible": "it holds characters that cannot be seen, written as \\u{…} above",
    "mixed_script": "it mixes look-alike letters of different scripts in one word",
    "escapes": "it holds terminal control characters, written as \\u{…} above",
    "truncated": "it is too long to be shown whole: part of it is hidden",
}


def describe(request: PermissionRequest, *, cwd: str, now: datetime, colour: bool) -> str:
    """All that a human should read before deciding; ends before the prompt."""
    return "\n".join(_lines(request, cwd, now, _Paint(colour))) + "\n"


class _Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if self._on else text


def _lines(request: PermissionRequest, cwd: str, now: datetime, paint: _Paint) -> Iterator[str]:
    body = request.request
    title = body.title or body.tool_name
    yield paint(_BOLD, f"[remote] permission needed: {_line(title)}")
    yield f"  tool     {_line(body.tool_name)}"
    if cwd:
        yield f"  in       {_line(cwd)}"
    if body.reason:
        yield f"  because  {_line(body.reason)}"
    left = _time_left(body.expires_at, now)
    if left:
        yield f"  expires  {left}"
    for line in visible(body.display).split("\n"):
        yield f"  | {line}"
    for diff in body.diffs:
        yield from _diff(diff, paint)
    for flag in body.flags:
        yield paint(_YELLOW, f"  warning: {_line(_WARNINGS.get(flag, flag))}")
    if body.flags:
        yield paint(_YELLOW, "  because of that, y is not enough: type the word allow")


def _line(text: str) -> str:
    """Text from the wire within one line of ours."""
    return escape(text).replace("\n", "\\u{a}")


def _diff(diff: Diff, paint: _Paint) -> Iterator[str]:
    old = "/dev/null" if diff.old_text is None else f"a/{_line(diff.path)}"
    before, after = _file_lines(diff.old_text), _file_lines(diff.new_text)
    for line in difflib.unified_diff(before, after, old, f"b/{_line(diff.path)}", lineterm=""):
        style = {"+": _GREEN, "-": _RED}.get(line[:1])
        shown = line[:1] + escape(line[1:])
        yield "  " + (paint(style, shown) if style else shown)


def _file_lines(text: str | None) -> list[str]:
    """A file's lines; what comes after its last newline is told apart, as diff(1) does."""
    if not text:
        return []
    *lines, rest = text.split("\n")
    return [*lines, rest, "\\ No newline at end of file"] if rest else lines


def _time_left(expires_at: str, now: datetime) -> str:
    try:
        seconds = int((datetime.fromisoformat(expires_at) - now).total_seconds())
    except (ValueError, TypeError):  # absent with a v1 server; without a time zone it means nothing here
        return ""
    if seconds <= 0:
        return "now"
    return f"in {seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"in {seconds} s"


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


async def ask(request: PermissionRequest, keyboard: Keyboard, write: Callable[[str], None], *, cwd: str) -> bool:
    """Show a permission request and return whether the human allows it. Cancel it to withdraw the question."""
    colour = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    write(describe(request, cwd=cwd, now=datetime.now(UTC), colour=colour))
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
                write("[remote] this request has warnings: type the word allow, or n\n")
            case _:
                return False


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
