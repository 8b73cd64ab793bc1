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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from myagent.redaction import private_keys
from myagent.redaction.patterns import BadPattern, Patterns
from myagent.redaction.private_keys import PrivateKeys

__all__ = ["BadPattern", "Redactor", "Stream"]

MASK = "[redacted]"
PATTERN_CHARACTERS = 1024  # that a match of an operator's pattern may have
LINE_CHARACTERS = 8192  # of an unfinished line that are held back at most

RECLAIM_PREFIX = "myagent_rcl_"

# Members of our own messages and documents whose values are ours, or are known to be no secret: a pattern of the
# operator's must not change an id or a digest. `chunk`: what it holds was covered as a part of more than itself.
OWN_FIELDS = frozenset(
    (
        *("type", "id", "sessionId", "session_id", "permissionRequestId", "permission_request_id", "digest", "chunk"),
        *(
            "optionId",
            "option_id",
            "kind",
            "askedAt",
            "expiresAt",
            "createdAt",
            "created_at",
            "updatedAt",
            "updated_at",
        ),
        *("since", "time", "connectionId", "connection", "owner", "lost", "credential", "scope", "role", "outcome"),
        *("state", "mode", "code", "why", "writeIds", "write_ids", "turnId", "turn_id", "turn", "request", "session"),
        *("lastRequestId", "last_request_id", "swapped", "standing", "tried", "origin"),
    )
)
OPEN_FIELDS = frozenset(("input", "update", "agentState", "agent_state"))  # what is below is the agent's, its names too
GIVEN_FIELDS = frozenset(("reclaimToken",))  # a secret that is told to whom it belongs
CUT_END = " more characters)"  # of a text that an adapter has cut, see `agents/rendering/bounds`
BEGINNING = 6  # characters of a secret that may stand before such a cut at most


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
    Form("myagent_dev_", "[a-z0-9_]", 50, 50, whole=False, probe="myagent_"),
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


class Redactor:
    """What is secret now. Raises `BadPattern`."""

    def __init__(self, patterns: Sequence[str] = (), *, known: bool = True) -> None:
        self._forms = (*OURS, *(KNOWN if known else ()))
        self.known = known
        self._literals: tuple[str, ...] = ()
        self.pattern = Patterns(patterns) if patterns else None
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
        text = self._by_form(text)
        return text if self.pattern is None else self.pattern.cover(text, MASK)

    def data(self, value: Any) -> Any:
        """JSON-able data without secrets in any string of it."""
        if self.pattern is None:
            encoded = msgspec.json.encode(value)
            if not self.may_hold(encoded.decode()):
                return value
        return self._covered(value, self.text)

    def encoded(self, message: bytes) -> bytes:
        """A whole message, encoded as JSON, as it may be stored or sent: without secrets in any string of it, whatever
        field that is in. What stands in a field of ours (`OWN_FIELDS`) is not matched with the operator's patterns."""
        if self.pattern is None and not self.may_hold(message.decode()):
            return message
        covered = self._covered(value := msgspec.json.decode(message), self.text, ours=True)
        return message if covered == value else msgspec.json.encode(covered)

    def update(self, message: bytes) -> bytes:
        """A structured update, encoded, of which the operator's patterns have seen more than a piece already."""
        if not self.may_hold(message.decode()):
            return message
        covered = self._covered(value := msgspec.json.decode(message), self._by_form)
        return message if covered == value else msgspec.json.encode(covered)

    def may_hold(self, text: str) -> bool:
        """Whether the text could have a secret of ours or of a known form: fast, and never wrongly false."""
        return (
            CUT_END in text
            or any(each in text for each in self._literals)
            or any(each.search(text) for each in self._spotters)
            or (self.known and private_keys.may_hold(text))
        )

    def last_run(self, text: str, start: int) -> int:
        """Where the characters at the end of a text begin that a secret can have; one that is cut off is among them."""
        start = max(start, len(text) - self.reach)
        return start + len(text[start:].rstrip(self._characters))

    def _by_form(self, text: str) -> str:
        if not self.may_hold(text):
            return text
        if self.known:
            keys = PrivateKeys(MASK)
            text = keys.feed(text) + keys.flush()
        text = self.full.sub(MASK, text)
        return self._by_beginning(text) if text.endswith(CUT_END) else text

    def _by_beginning(self, text: str) -> str:
        """A text that an adapter has cut, without the beginning of a secret that stood across the cut."""
        head, mark, rest = text.rpartition("…")
        tail = self.partial.search(head, self.last_run(head, 0))
        if not mark or tail is None or len(tail.group()) < BEGINNING:
            return text
        return f"{head[: tail.start()]}{MASK}{mark}{rest}"

    def _covered(self, value: Any, cover_all: Callable[[str], str], *, ours: bool = False) -> Any:
        """The same data with every string of it covered. However deep others nest it, no stack grows."""
        top: list[Any] = [None]
        waiting: list[tuple[Any, Any, Any, Callable[[str], str], bool]] = [(value, top, 0, cover_all, ours)]
        while waiting:
            each, place, key, cover, typed = waiting.pop()
            match each:
                case str():
                    place[key] = cover(each)
                case dict():
                    named = self._by_form if typed else cover_all
                    names = [named(name) if isinstance(name, str) else name for name in each]
                    place[key] = below = dict.fromkeys(names)
                    for name, item in zip(names, each.values(), strict=True):
                        if typed and name in GIVEN_FIELDS:
                            below[name] = item
                        else:
                            by = self._by_form if typed and name in OWN_FIELDS else cover_all
                            waiting.append((item, below, name, by, typed and name not in OPEN_FIELDS))
                case list() | tuple():
                    place[key] = row = [None] * len(each)
                    waiting += [(item, row, at, cover, typed) for at, item in enumerate(each)]
                case _:
                    place[key] = each
        return top[0]

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
        return rest if self._redactor.pattern is None else self._redactor.pattern.cover(rest, MASK)

    def _by_form(self, piece: str) -> str:
        redactor = self._redactor
        data = self._before + self._held + piece
        done = start = len(self._before)
        shown: list[str] = []
        suspicious = redactor.may_hold(data)
        hold, held_from = self._hold(data, done), done
        while True:
            if done > len(data) - redactor.reach and held_from != done:  # only then can it be another one
                hold, held_from = self._hold(data, done), done
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

    def _hold(self, data: str, done: int) -> int:
        """Where what may be the beginning of a secret stands at the end; its end, if nothing is."""
        tail = self._redactor.partial.search(data, self._redactor.last_run(data, done))
        return tail.start() if tail is not None else len(data)

    def _by_pattern(self, text: str) -> str:
        pattern = self._redactor.pattern
        if pattern is None:
            return text
        data = self._line + text
        end = max(data.rfind("\n"), data.rfind("\r")) + 1
        if len(data) - end > LINE_CHARACTERS:
            end = pattern.cut(data, end, len(data) - PATTERN_CHARACTERS, LINE_CHARACTERS)
        self._line = data[end:]
        return pattern.cover(data[:end], MASK)


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
