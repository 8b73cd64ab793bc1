"""The permission question on the local terminal: what is shown, and how an answer is read and can be withdrawn."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from myagent.cli.terminal.output import coloured
from myagent.core.messages import PermissionRequest, RequestBody
from myagent.core.permissions import allowed_once
from myagent.text.terminal import RESET, visible
from myagent.text.wording import diff_lines, escaped_line, folded, option_name, time_left, warning, whole_line

MARK = "[remote]"  # begins a line of our own
PROMPT = "Allow? [y/N] "
CHOICE = "Which? [number, N] "
MANY_LINES = 20  # of what is asked; more may be out of sight on a small terminal, which is then said
GUARD = 0.3  # seconds between what is asked and the place to answer: keys that were meant for something else are lost

_BOLD, _RED, _GREEN, _YELLOW = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"


def describe(request: PermissionRequest, *, cwd: str, now: datetime, colour: bool, mark: str = MARK) -> str:
    """All that a human should read before deciding; ends before the prompt."""
    return "\n".join(_lines(request, cwd, now, _Paint(colour), mark)) + "\n"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a human answered; `option` is the id of the agent's answer that was chosen, if one was."""

    kind: Literal["allow", "deny"]
    option: str | None = None


DENY = Decision("deny")
_NUMBER = re.compile("[0-9]{1,4}")


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
    if body.people > 1:
        yield f"  people   {body.people} must allow it, each with a credential of their own; one deny denies"
    display = folded(visible(body.display))
    if len(display) > MANY_LINES:
        yield f"  {len(display)} lines: scroll up to read them all"
    for line in display:
        yield f"  | {line}"
    for line in (line for diff in body.diffs for line in diff_lines(diff)):
        style = {"+": _GREEN, "-": _RED}.get(line[:1])
        yield "  " + (paint(style, line) if style else line)
    for flag in body.flags:
        yield paint(_YELLOW, f"  warning: {warning(flag)}")
    choice = len(allowed_once(body.options)) > 1
    if choice or [option.kind for option in body.options] not in ([], ["allow_once"], ["allow_once", "reject_once"]):
        for number, option in enumerate(body.options, 1):
            yield f"  {number}  {option_name(option)}"
    if body.flags:
        yield paint(_YELLOW, f"  because of that, {'a number' if choice else 'y'} is not enough: {_how(body)}")


def _how(body: RequestBody) -> str:
    """What has to be typed to allow a request with warnings."""
    return "type allow and the number" if len(allowed_once(body.options)) > 1 else "type the word allow"


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
) -> Decision:
    """Show a permission request and return what the human answers. Cancel it to withdraw the question."""
    write(describe(request, cwd=cwd, now=datetime.now(UTC), colour=coloured(sys.stderr), mark=mark))
    await asyncio.sleep(GUARD)
    keyboard.discard()
    choice = len(allowed_once(request.request.options)) > 1
    while True:
        write(CHOICE if choice else PROMPT)
        answer = await keyboard.line()
        if answer is None:
            write("\n")
            return DENY
        decision = understood(answer, request.request)
        if isinstance(decision, Decision):
            return decision
        write(f"{mark} {decision}\n")


def understood(answer: str, body: RequestBody) -> Decision | str:
    """What a line says: a decision, or what to type instead where it would allow more than it may."""
    match answer.lower().split():
        case ["y" | "yes"] if body.flags:
            return f"this request has warnings: {_how(body)}, or n"
        case ["y" | "yes" | "allow"] if len(allowed_once(body.options)) > 1:
            return "the agent offers a choice: type the number of an answer, or n"
        case ["y" | "yes" | "allow"]:
            return Decision("allow")
        case ["y" | "yes" | "allow" as verb, str(number)] if _NUMBER.fullmatch(number):
            return _numbered(body, number, verb)
        case [str(number)] if _NUMBER.fullmatch(number):
            return _numbered(body, number, "")
        case _:
            return DENY


def _numbered(body: RequestBody, number: str, verb: str) -> Decision | str:
    """What naming one of the agent's answers says; `verb` is what was typed before the number."""
    option = dict(enumerate(body.options, 1)).get(int(number))
    if option is None:
        return f"there is no answer {number}: type a number of the list, or n"
    if option.kind.startswith("reject"):
        return DENY if verb else Decision("deny", option.option_id)
    if not option.kind.startswith("allow"):
        return DENY
    if body.flags and verb != "allow":
        return f"this request has warnings: type allow {number}, or n"
    return Decision("allow", option.option_id)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
