"""Redaction, before anything is stored: what a replay could leak was never written down.

Three kinds of secrets are found:

- our own live ones: the owner token as it is, and invites, tickets and reclaim tokens by their form;
- keys whose form their makers publish (`KNOWN`), and private keys in PEM, unless that is switched off: a session that
  is shared cannot be taken back, these forms match nothing else, and whoever needs such a key in the clear has it in a
  file;
- what matches a pattern of the operator's (`--redact`), within one line and at most `PATTERN_CHARACTERS` long.

Output comes in pieces, cut anywhere. A `Stream` holds back the end of a piece while it may be how a secret begins;
with patterns, it holds back an unfinished line. Encoded copies (base64, one character a line) are beyond it.
"""

from __future__ import annotations

import logging
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from myagent.exceptions import MyagentError
from myagent.redaction import private_keys
from myagent.redaction.private_keys import PrivateKeys

MASK = "[redacted]"
PATTERN_CHARACTERS = 1024  # that a match of an operator's pattern may have
LINE_CHARACTERS = 8192  # of an unfinished line that are held back at most

RECLAIM_PREFIX = "myagent_rcl_"


@dataclass(frozen=True, slots=True)
class Form:
    """`prefix`, then `low` to `high` characters of a class. `whole`: no letter or digit comes before it. `probe` is a
    part of the prefix that several share, so that a text is searched for few things."""

    prefix: str
    characters: str
    low: int
    high: int
    whole: bool = True
    probe: str = ""

    @property
    def full(self) -> str:
        return f"{self._start}{re.escape(self.prefix)}{self.characters}{{{self.low},{self.high}}}"

    @property
    def partial(self) -> str:
        """Matches what may go on to become this, up to the end of the text; also what is one and may grow."""
        return self._start + _nested(self.prefix, f"{self.characters}{{0,{self.high - 1}}}")

    @property
    def _start(self) -> str:
        return "(?<![A-Za-z0-9])" if self.whole else ""


_CHARACTERS = string.ascii_letters + string.digits + "_-"  # that any form can have
_TOKEN = "[A-Za-z0-9_-]"  # noqa: S105 -- a character class
OURS = (
    Form("myagent_inv_", "[a-z0-9_]", 50, 50, whole=False, probe="myagent_"),
    Form("myagent_tkt_", _TOKEN, 43, 43, whole=False, probe="myagent_"),
    Form(RECLAIM_PREFIX, _TOKEN, 43, 43, whole=False, probe="myagent_"),
)
KNOWN = (
    *(Form(f"gh{kind}_", "[A-Za-z0-9]", 36, 255) for kind in "pousr"),  # GitHub
    Form("github_pat_", "[A-Za-z0-9_]", 82, 255),
    Form("glpat-", _TOKEN, 20, 64),  # GitLab
    *(Form(f"{kind}IA", "[A-Z0-9]", 16, 16) for kind in ("AK", "AS")),  # AWS
    *(Form(f"xox{kind}-", "[A-Za-z0-9-]", 10, 250, probe="xox") for kind in "abprs"),  # Slack
    Form("sk-ant-", _TOKEN, 20, 200, probe="sk-"),  # Anthropic
    Form("sk-proj-", _TOKEN, 20, 250, probe="sk-"),  # OpenAI
    *(Form(f"{kind}k_live_", "[A-Za-z0-9]", 20, 250, probe="k_live_") for kind in "sr"),  # Stripe
    Form("AIza", _TOKEN, 35, 35),  # Google
    Form("npm_", "[A-Za-z0-9]", 36, 36),
    Form("pypi-", _TOKEN, 50, 250),
    Form("hf_", "[A-Za-z0-9]", 30, 64),  # Hugging Face
)


class BadPattern(MyagentError):
    """An operator's pattern that cannot be used."""

    def __init__(self, pattern: str, why: str) -> None:
        super().__init__(pattern, why)
        self.pattern, self.why = pattern, why

    def __str__(self) -> str:
        return f"--redact {self.pattern!r} cannot be used: {self.why}"


class Redactor:
    """What is secret now. Raises `BadPattern`."""

    def __init__(self, patterns: Sequence[str] = (), *, known: bool = True) -> None:
        self._forms = (*OURS, *(KNOWN if known else ()))
        self.known = known
        self._literals: tuple[str, ...] = ()
        self.pattern = _joined(patterns)
        self._compile()

    def register(self, secret: str) -> None:
        """Take a text for secret from here on."""
        self._literals = (*self._literals, secret)
        self._compile()

    def forget(self, secret: str) -> None:
        """It is worth nothing any more."""
        self._literals = tuple(each for each in self._literals if each != secret)
        self._compile()

    def text(self, text: str) -> str:
        """The text without its secrets."""
        if self.may_hold(text):
            if self.known:
                keys = PrivateKeys(MASK)
                text = keys.feed(text) + keys.flush()
            text = self.full.sub(MASK, text)
        return text if self.pattern is None else _by_line(self.pattern, text)

    def data(self, value: Any) -> Any:
        """JSON-able data without secrets in any string of it."""
        if self.pattern is None:
            encoded = msgspec.json.encode(value)
            if not self.may_hold(encoded.decode()):
                return value
        return self._walk(value)

    def may_hold(self, text: str) -> bool:
        """Whether the text could have a secret of ours or of a known form: fast, and never wrongly false."""
        return (
            any(each in text for each in self._literals)
            or any(each.search(text) for each in self._spotters)
            or (self.known and private_keys.may_hold(text))
        )

    def last_run(self, text: str, start: int) -> int:
        """Where the characters at the end of a text begin that a secret can have; one that is cut off is among them."""
        start = max(start, len(text) - self.reach)
        return start + len(text[start:].rstrip(self._characters))

    def _walk(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case dict():
                return {
                    self.text(key) if isinstance(key, str) else key: self._walk(each) for key, each in value.items()
                }
            case list() | tuple():
                return [self._walk(each) for each in value]
        return value

    def _compile(self) -> None:
        literals = sorted(self._literals, key=len, reverse=True)  # of two that begin alike, the longer one
        self._spotters = _spotters(dict.fromkeys(form.probe or form.prefix for form in self._forms))
        self.full = re.compile("|".join([*map(re.escape, literals), *(form.full for form in self._forms)]))
        partials = [*(_nested(each[:-1], "") for each in literals), *(form.partial for form in self._forms)]
        self.partial = re.compile(f"(?:{'|'.join(partials)})\\Z")
        self._characters = _CHARACTERS + "".join(literals)
        longest = max(map(len, literals), default=0)
        self.reach = max(longest, *(len(form.prefix) + form.high for form in self._forms))


class Stream:
    """Text that comes in pieces. What is shown, put together, is what `Redactor.text` makes of the whole."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._keys = PrivateKeys(MASK) if redactor.known else None
        self._before = ""  # the last character that was let through
        self._held = ""  # may be the beginning of a secret
        self._line = ""  # unfinished, while there are patterns

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        return self._by_pattern(self._by_form(piece if self._keys is None else self._keys.feed(piece)))

    def flush(self) -> str:
        """What was held back, when nothing more will come."""
        begun = "" if self._keys is None else self._by_form(self._keys.flush())
        held, self._held = self._held, ""
        rest = self._line + begun + self._redactor.full.sub(MASK, held)
        self._line = ""
        return rest if self._redactor.pattern is None else _by_line(self._redactor.pattern, rest)

    def _by_form(self, piece: str) -> str:
        redactor = self._redactor
        data = self._before + self._held + piece
        done = start = len(self._before)
        shown: list[str] = []
        suspicious = redactor.may_hold(data)
        while True:
            tail = redactor.partial.search(data, redactor.last_run(data, done))
            hold = tail.start() if tail is not None else len(data)
            found = redactor.full.search(data, done) if suspicious else None
            if found is None or found.start() >= hold:
                break
            shown += (data[done : found.start()], MASK)
            done = found.end()
        hold = max(hold, done)
        shown.append(data[done:hold])
        self._held = data[hold:]
        self._before = data[hold - 1 : hold] if hold > start else self._before
        return "".join(shown)

    def _by_pattern(self, text: str) -> str:
        pattern = self._redactor.pattern
        if pattern is None:
            return text
        data = self._line + text
        end = max(data.rfind("\n"), data.rfind("\r")) + 1
        if len(data) - end > LINE_CHARACTERS:
            end = _before_match(pattern, data, end, len(data) - PATTERN_CHARACTERS)
        self._line = data[end:]
        return _by_line(pattern, data[:end])


class RedactingFormatter(logging.Formatter):
    """A log's last step: whatever a record says, tracebacks too, without secrets."""

    def __init__(self, redactor: Redactor, fmt: str | None = None) -> None:
        super().__init__(fmt)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


def _spotters(probes: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """Patterns that tell whether any of the probes is there. Each looks for the last character of some of them, then
    back from there: a fourth of the time that a search for each probe takes."""
    by_end: dict[str, list[str]] = {}
    for probe in probes:
        by_end.setdefault(probe[-1], []).append(f"(?<={re.escape(probe)})")
    return tuple(re.compile(f"{re.escape(end)}(?:{'|'.join(found)})") for end, found in by_end.items())


def _nested(prefix: str, rest: str) -> str:
    """A pattern of every beginning of `prefix`, but the empty one; after the whole of it, `rest`."""
    pattern = rest
    for character in reversed(prefix[1:]):
        pattern = f"(?:{re.escape(character)}{pattern})?"
    return re.escape(prefix[0]) + pattern


def _joined(patterns: Iterable[str]) -> re.Pattern[str] | None:
    for pattern in patterns:
        try:
            if re.compile(pattern).search("") is not None:
                raise BadPattern(pattern, "it matches nothing at all, and so everywhere")
        except (re.error, RecursionError, OverflowError) as error:
            raise BadPattern(pattern, str(error)) from None
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    try:
        return re.compile(joined) if joined else None
    except re.error as error:
        raise BadPattern(joined, f"together, {error}") from None


def _by_line(pattern: re.Pattern[str], text: str) -> str:
    return "".join(pattern.sub(MASK, line) for line in re.split(r"([\r\n]+)", text))


def _before_match(pattern: re.Pattern[str], data: str, start: int, end: int) -> int:
    """Where an overlong line may be cut: at `end`, or before a match that reaches over it."""
    for found in pattern.finditer(data, start):
        if found.start() >= end:
            break
        if found.end() > end:
            return found.start() if len(data) - found.start() <= LINE_CHARACTERS else found.end()
    return end
