"""All that an agent said of one tool call, also what it said otherwise later: what a human is shown before deciding.

Pure. An update replaces what the call *is*; it does not take back what was said. A request that follows with less than
that (a shortened command, a text in place of a diff) is therefore shown with everything that came before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from myagent.core.messages import Diff
from myagent.core.permissions import REQUEST_BYTES

SAYINGS = 256  # different things said of one call; more, and nobody could tell what it is
ELLIPSES = ("…", "...")

CHANGING = ("edit", "execute", "delete", "move")  # kinds of tool calls that leave something different
_READING = ("read", "search", "think")
_COMMANDS = ("command", "cmd", "script", "code")  # names under which tools take what they run
_QUOTED = re.compile(r"`([^`]+)`")
_SHELL = re.compile(r"\s--?\w|&&|\|\||[|;>]\s|\$\(")
_PROGRAM = re.compile(
    r"(bash|cargo|cat|cd|chmod|cp|curl|docker|echo|find|git|go|grep|head|kill|ls|make|mkdir|mv|node|npm|npx|pip|printf|"
    r"pwd|pytest|python3?|rm|sed|sh|ssh|sudo|tail|tar|tee|touch|uv|wget)(\s|$)"
)
_PATH = re.compile(r"[^\s`'\"()\[\]{},;:<>|&]*(?:/[^\s`'\"()\[\]{},;:<>|&/]+|[\w-]\.[A-Za-z]\w{0,7}\b)")


@dataclass(slots=True)
class Said:
    """What was said of a call, in order, each thing once; one that only goes on with an earlier one takes its place.

    `overflow`: there was more than can be kept, so it must not be allowed.
    """

    titles: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    diffs: list[Diff] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    overflow: bool = False
    _size: int = 0  # characters kept
    _now: dict[str, list[Any]] = field(default_factory=dict)  # the texts and diffs of the last update that had any
    _retracted: set[str] = field(default_factory=set)  # which of those it then replaced by others

    def add(
        self, *, title: str, kind: str, given: Any, texts: Iterable[str], diffs: Iterable[Diff], paths: Iterable[str]
    ) -> None:
        """Take in one update, or one request; what it leaves out is empty or `None`."""
        if title:
            self._keep(self.titles, title)
        if kind and kind != "other":
            self._keep(self.kinds, kind)
        if given not in (None, {}, [], ""):
            self._keep(self.inputs, given)
        texts, diffs = list(texts), list(diffs)
        self._replace("texts", texts)
        self._replace("diffs", diffs)
        for text in texts:
            self._keep(self.texts, text)
            if (parsed := _as_input(text)) is not None:  # kimi-code streams a call's input as text
                self._keep(self.inputs, parsed)
        for diff in diffs:
            self._keep(self.diffs, diff)
        for path in paths:
            self._keep(self.paths, path)

    def commands(self) -> list[str]:
        """What the inputs say would be run."""
        return [text for given in self.inputs for text in commands_in(given)]

    def flags(self, title: str, kind: str, current: Iterable[str]) -> tuple[str, ...]:
        """What is odd about all this: `contradicts`, `truncated`, `unspecified`.

        Args:
            title: The call's title as it is now.
            kind: Its kind as it is now.
            current: Its texts as they are now.
        """
        found = {
            "contradicts": self._contradicts(title),
            "truncated": any(map(self._is_cut, (title, *self.texts, *current))),
            "unspecified": self.unspecified(kind),
        }
        return tuple(name for name, is_found in found.items() if is_found)

    def unspecified(self, kind: str) -> bool:
        """Whether the agent leaves open what it would do."""
        if self.inputs or self.diffs:
            return False
        if kind in ("delete", "move"):
            return not self.paths
        return kind in CHANGING or not self.texts

    def data(self) -> dict[str, Any]:
        """All of it so far, as JSON-able data for the digest."""
        return {
            "titles": [*self.titles],
            "kinds": [*self.kinds],
            "inputs": [*self.inputs],
            "texts": [*self.texts],
            "diffs": [(diff.path, diff.old_text, diff.new_text) for diff in self.diffs],
            "paths": [*self.paths],
        }

    def _replace(self, what: str, rows: list[Any]) -> None:
        """Notice when an update says something else in place of what one before it said."""
        if not rows:
            return
        before = self._now.get(what, [])
        if any(_rivals(old, rows) and not any(_goes_on(old, new) for new in rows) for old in before):
            self._retracted.add(what)
        self._now[what] = rows

    def _keep(self, row: list[Any], value: Any) -> None:
        if value in row:
            return
        size = len(value) if isinstance(value, str) else len(repr(value))
        if row and _goes_on(row[-1], value):
            before = row[-1]
            self._size += size - (len(before) if isinstance(before, str) else len(repr(before)))
            row[-1] = value
        elif len(row) >= SAYINGS or self._size > REQUEST_BYTES:
            self.overflow = True
        else:
            self._size += size
            row.append(value)

    def _contradicts(self, title: str) -> bool:
        if len(self.kinds) > 1 and not {*self.kinds} <= {*_READING}:
            return True
        if self.diffs and self.kinds and self.kinds[-1] in _READING:
            return True
        if any(_differ(a, b) for n, a in enumerate(self.inputs) for b in self.inputs[n + 1 :]):
            return True
        if "diffs" in self._retracted:
            return True
        structured = [*strings_in(self.inputs), *self.paths]
        structured += [text for diff in self.diffs for text in (diff.path, diff.old_text or "", diff.new_text)]
        if not structured:
            return "texts" in self._retracted
        return self._title_says_otherwise(title, "\n".join(structured))

    def _title_says_otherwise(self, title: str, rest: str) -> bool:
        """Whether the title names a file or a command that is nowhere in what the call consists of."""
        squeezed = " ".join(rest.split())
        claims = _QUOTED.findall(title)
        if self.commands() and (_PROGRAM.match(title) or _SHELL.search(title)):
            claims = [title]
        if any(_stem(" ".join(claim.split())) not in squeezed for claim in claims):
            return True
        if not (self.paths or self.diffs):
            return False
        names = (_stem(match[0]).rstrip("/.").rpartition("/")[2] for match in _PATH.finditer(_QUOTED.sub(" ", title)))
        return any(name and name not in rest for name in names)

    def _is_cut(self, text: str) -> bool:
        """Whether a text stops short, and is not such a text in full (`go test ./...`)."""
        text = text.rstrip().removesuffix("```").rstrip()
        if not text.endswith(ELLIPSES):
            return False
        whole = "\n".join(strings_in(self.inputs))
        return " ".join(text.split()) not in " ".join(whole.split())


def commands_in(given: Any) -> list[str]:
    """What a tool's input says would be run: a text, or words."""
    if not isinstance(given, Mapping):
        return []
    found = []
    for key in _COMMANDS:
        match given.get(key):
            case str(text) if text:
                found.append(text)
            case list(words) if words and all(isinstance(word, str) for word in words):
                found.append(" ".join(words))
    return found


def strings_in(value: Any) -> list[str]:
    """Every string of some JSON-able data."""
    match value:
        case str():
            return [value]
        case Mapping():
            return [text for item in value.values() for text in strings_in(item)]
        case list() | tuple():
            return [text for item in value for text in strings_in(item)]
        case _:
            return []


def _as_input(text: str) -> Any:
    """A text that is one JSON object, as agents stream a call's input; else `None`."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) and given else None


def _goes_on(before: Any, after: Any) -> bool:
    """Whether `after` holds all of `before`: text that has grown, an input with more in it."""
    match before, after:
        case str(), str():
            return after.startswith(before)
        case Mapping(), Mapping():
            pairs = ((value, after.get(key)) for key, value in before.items())
            return all(value == now or _goes_on(value, now) for value, now in pairs)
        case Diff(), Diff():
            return (before.path, before.old_text) == (after.path, after.old_text) and after.new_text.startswith(
                before.new_text
            )
        case _:
            return False


def _rivals(old: Any, rows: list[Any]) -> bool:
    """Whether those are about the same thing: any two texts, or changes of one file."""
    return not isinstance(old, Diff) or any(new.path == old.path for new in rows)


def _differ(one: Any, other: Any) -> bool:
    """Whether two inputs say different things under one name."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return bool(one != other)
    shared = [key for key in one if key in other]
    return any(one[key] != other[key] and not _goes_on(one[key], other[key]) for key in shared)


def _stem(text: str) -> str:
    for ellipsis in ELLIPSES:
        text = text.partition(ellipsis)[0] if ellipsis == "…" else text.removesuffix(ellipsis)
    return text.strip()
