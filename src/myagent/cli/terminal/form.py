"""A question of the agent's on the local terminal: its fields asked one by one, each answer checked as it is typed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from myagent.cli.terminal.question import GUARD, MARK, Keyboard
from myagent.core.forms import BadForm, Field, as_sent, read
from myagent.core.messages import Question, QuestionOutcome
from myagent.text.terminal import visible
from myagent.text.wording import escaped_line, folded, time_left, warning, whole_line

HOW = "/decline refuses to answer, /cancel stops the asking; an empty line takes the default, or leaves a field out"
_YES = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class Filled:
    """What a human did with a question."""

    action: QuestionOutcome
    content: dict[str, Any] | None = None


_WORDS = {"/decline": Filled("decline"), "/cancel": Filled("cancel")}


def described(question: Question, now: datetime) -> Iterator[str]:
    """All that a human should read before answering; the fields are told as they are asked."""
    yield f"{MARK} the agent asks:"
    yield from (f"  | {line}" for line in folded(visible(question.message)))
    if question.url is not None:
        yield f"  host     {whole_line(question.host or '')}"
        yield f"  address  {whole_line(question.url)}"
        yield "  nothing opens it but you"
    if left := time_left(question.expires_at, now):
        yield f"  expires  {left}"
    yield from (f"  warning: {warning(flag)}" for flag in question.flags)


async def fill(question: Question, keyboard: Keyboard, write: Callable[[str], None]) -> Filled:
    """Show a question and return what the human answers. Cancel it to withdraw the question."""
    write("\n".join(described(question, datetime.now(UTC))) + "\n")
    await asyncio.sleep(GUARD)
    keyboard.discard()
    if question.url is not None:
        return await _word(keyboard, write, "Done there? [y, d declines, N cancels] ")
    try:
        form = read(question.schema, shown=as_sent)
    except BadForm as error:
        write(f"{MARK} this client cannot ask it: {error}\n")
        return Filled("cancel")
    write(f"  {HOW}\n")
    content: dict[str, Any] = {}
    for each in form.fields:
        given = await _field(each, keyboard, write)
        if isinstance(given, Filled):
            return given
        if given is not None:
            content[each.name] = given
    confirmed = await _word(keyboard, write, "Send this? [y, d declines, N cancels] ")
    return Filled("accept", content) if confirmed.action == "accept" else confirmed


async def _word(keyboard: Keyboard, write: Callable[[str], None], prompt: str) -> Filled:
    while True:
        write(prompt)
        line = await keyboard.line()
        match None if line is None else line.lower():
            case "y" | "yes":
                return Filled("accept")
            case "d" | "decline" | "/decline":
                return Filled("decline")
            case None | "" | "n" | "no" | "c" | "cancel" | "/cancel":
                return Filled("cancel")
            case _:  # a slip must not throw away what was filled in
                write(f"{MARK} y, d or n\n")


async def _field(each: Field, keyboard: Keyboard, write: Callable[[str], None]) -> Any:
    """A value that fits, `None` for none, or what ends the asking."""
    write("\n".join(_told(each)) + "\n")
    while True:
        write("> ")
        line = await keyboard.line()
        if line is None:
            write("\n")
            return Filled("cancel")
        if line in _WORDS:
            return _WORDS[line]
        value = each.default if not line else understood(each, line)
        fault = each.fault(value) if value is not None else "is required" if each.required else None
        if fault is None:
            return value
        write(f"{MARK} this {fault}\n")


def _told(each: Field) -> Iterator[str]:
    yield f"{escaped_line(each.title)}{'' if each.required else ' (may be left out)'}"
    if each.description:
        yield f"  {escaped_line(each.description)}"
    for number, choice in enumerate(each.choices, 1):
        yield f"  {number}  {escaped_line(choice.title)}"
    hints = {"boolean": "y or n", "integer": "a whole number", "number": "a number", "array": "numbers, with spaces"}
    hint = "the number of one" if each.choices and each.kind == "string" else hints.get(each.kind, "text")
    bounds = [f"{word} {bound:g}" for word, bound in (("from", each.least), ("to", each.most)) if bound is not None]
    default = [] if each.default is None else [f"default: {whole_line(str(each.default))}"]
    pattern = [] if each.pattern is None else [f"matches {whole_line(each.pattern)}"]
    yield f"  [{'; '.join((hint, *bounds, *pattern, *default))}]"


def understood(each: Field, line: str) -> Any:
    """What a line says for a field; the text itself where it says nothing that fits, which the check then refuses."""
    numbered = {str(number): choice.const for number, choice in enumerate(each.choices, 1)}
    match each.kind:
        case "boolean":
            return _YES.get(line.lower(), line)
        case "integer" | "number":
            try:
                return int(line)
            except ValueError:
                pass
            try:
                return float(line)
            except ValueError:
                return line
        case "array":
            return [numbered.get(part, part) for part in line.replace(",", " ").split()]
        case "string":
            return numbered.get(line, line)
