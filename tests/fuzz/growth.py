"""Looks for time: what handles others' input must not take more than in proportion to its size.

An input is a fragment that repeats, with something before and behind; that is what quadratic and exponential programs
are slow on. Each is tried at sizes that double. A sample is one size's time over the next smaller one's, of processor
time and the least of several tries, so that other programs of the machine count for little.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from myagent.agents.builtin import command
from myagent.agents.rendering.request import tool_call
from myagent.core.codec import decode
from myagent.core.diffs import hunks
from myagent.core.display import escape, flags
from myagent.core.messages import Diff, RequestBody
from myagent.core.refusals import BadJson, BadMessage, UnknownType
from myagent.exceptions import MyagentError
from myagent.redaction.redactor import Redactor, Stream
from myagent.text.terminal import TerminalFilter, visible
from myagent.text.wording import diffs_beyond_display, folded

SIZES = tuple(1000 << doubling for doubling in range(8))  # characters, up to 128 kB
TOO_SHORT = 0.004  # seconds, below which a time is noise
STEEP = 2.9  # of doubling, over two doublings in a row: 2 is linear, 4 is the square
LONG = 2.0  # seconds that the largest may take: a turn of the loop that long is felt by everybody

VOCABULARY = (
    *("a", " ", "\n", "\t", "\r", "=", "-", "+", "/", ".", "\\", "u{", '"', "'", "`", "$(", "[", "{", "<", ":", ";"),
    *("@", "=======\n", "<<<<<<<\n", ">>>>>>>\n", "@@ -1 +1 @@\n", "+\ufeff", "-----BEGIN ", "PRIVATE KEY-----"),
    *("-----END ", "AKIA" + "A" * 16, "ghp_", "myagent_tkt_", "sk-ant-", "xoxb-", "pw=", "A" * 40, "http://", ".com"),
    *("a/b", "…", "...", "é", "е", "ı", "\u200d", "\u200c", "\ufe0f", "👨", "\u3000", "\u00a0", "\u202e", "\u0301"),
    *("⁄", "\x1b[", "\x1b[1;", "m", "cd ", "python -m ", "|", "&&", "a.b ", "`x`", "```", "0", "1;"),
)  # fmt: skip


def _filter(text: str) -> None:
    stream = TerminalFilter()
    stream.feed(text)
    stream.close()


def _streamed(text: str) -> None:
    stream = Stream(REDACTOR)
    for at in range(0, len(text), 977):
        stream.feed(text[at : at + 977])
    stream.flush()


def _patterned(text: str) -> None:
    stream = Stream(PATTERNED)
    stream.feed(text)
    stream.flush()


def _diff(text: str) -> None:
    middle = len(text) // 2
    hunks(text[:middle], text[middle:])
    hunks(text, text[middle:] + text[:middle])


def _edit(text: str) -> None:
    try:
        command._old_and_new(f"<<<<<<<\n{text}\n>>>>>>>\n")
    except MyagentError:
        pass


def _asked(text: str) -> None:
    half = len(text) // 2
    content = [
        {"type": "diff", "path": "a", "oldText": text[:half], "newText": text[half:]},
        *({"type": "content", "content": {"type": "text", "text": piece}} for piece in text.split("\n")),
    ]
    call = {"toolCallId": "1", "title": text, "rawInput": {"command": text}, "content": content}
    tool_call(call | {"locations": [{"path": text[:100]}]}, ())


def _decoded(text: str) -> None:
    for message in (text, json.dumps({"type": "user_message", "id": "1", "prompt": text}), text * 2 + "]" * len(text)):
        try:
            decode(message.encode(errors="replace"))
        except (BadJson, BadMessage, UnknownType):
            pass


def _worded(text: str) -> None:
    folded(text)
    body = RequestBody(
        tool_name="", input=None, display=escape(text), flags=(), diffs=(Diff("a", "", text),), digest="", expires_at=""
    )
    list(diffs_beyond_display(body))


REDACTOR = Redactor()
PATTERNED = Redactor([r"(a+)+=", r"\w+@\w+", r".*pw=.*"])
TARGETS: dict[str, Callable[[str], object]] = {
    "flags": lambda text: flags(text, [text], [text]),
    "escape": escape,
    "visible": visible,
    "terminal": _filter,
    "redaction": REDACTOR.text,
    "redaction of a stream": _streamed,
    "patterns": _patterned,
    "a diff": _diff,
    "an edit": _edit,
    "a request": _asked,
    "a message": _decoded,
    "wording": _worded,
}


@dataclass
class Found:
    """What takes too long, and by which input."""

    inputs: int = 0
    longest: float = 0.0  # seconds that any input took
    wrong: list[str] = field(default_factory=list)


def search(
    seed: int,
    inputs: int,
    targets: dict[str, Callable[[str], object]] | None = None,
    *,
    until_found: bool = False,
    words: Sequence[str] = VOCABULARY,
) -> Found:
    """Try every target on so many inputs each."""
    found = Found()
    for name, target in (TARGETS if targets is None else targets).items():
        dice = random.Random(f"{seed} {name}")
        for before, fragment, behind in itertools.islice(_shapes(dice, words), inputs):
            found.inputs += 1
            times = list(_times(target, before, fragment, behind))
            found.longest = max(found.longest, times[-1])
            if _is_steep(times) or times[-1] > LONG:
                shown = ", ".join(f"{each:.3f}" for each in times)
                found.wrong.append(f"{name}: {before!r} + {fragment!r} * n + {behind!r} takes {shown} s")
                if until_found:
                    return found
    return found


def _shapes(dice: random.Random, words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """What stands before, what repeats, what stands behind: each word of the vocabulary alone, then mixed."""
    for word in dice.sample(words, len(words)):
        yield "", word, ""
    while True:
        pick = [dice.choice(words) for _ in range(8)]
        before, more, behind = dice.randrange(3), dice.randrange(3), dice.randrange(3)
        yield "".join(pick[:before]), "".join(pick[2 : 3 + more]), "".join(pick[6 : 6 + behind])


def _times(target: Callable[[str], object], before: str, fragment: str, behind: str) -> Iterator[float]:
    for size in SIZES:
        text = before + fragment * (size // len(fragment)) + behind
        least = _once(target, text)
        if least <= LONG / 4:  # or noise does not matter
            least = min(least, _once(target, text), _once(target, text))
        yield least
        if least > LONG / 4 and size < SIZES[-1]:
            yield least * (SIZES[-1] // size)  # at best
            return


def _once(target: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    target(text)
    return time.process_time() - began


def _is_steep(times: list[float]) -> bool:
    """Whether it grew as the square, or faster, over the two largest steps that are no noise."""
    if len(times) < 3 or times[-3] < TOO_SHORT:
        return False
    return times[-1] / times[-3] > STEEP**2


# What was there once, or nearly: a search that does not find these is worth nothing.

_SLOW_EDIT = re.compile(r"<{7}\n(?P<old>.*?)\n={7}\n(?:(?P<new>.*?)\n)?>{7}\s*", re.DOTALL)
PLANTED: dict[str, Callable[[str], object]] = {
    "a planted edit": lambda text: _SLOW_EDIT.fullmatch(f"<<<<<<<\n{text}\n"),
    "a planted redaction": lambda text: [text[at:].count("x") for at in range(0, len(text), 2)],
    "a planted pattern": lambda text: re.search(r"\w+@\w+x", text),
}
