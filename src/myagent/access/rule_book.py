"""The rules of a workspace as they are kept: in a private file, sealed as ours, since a rule gives leave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from myagent.access.seal import UNSEALED, Foreign, Seal
from myagent.access.state_directory import UnsafeState, read_private, write_private
from myagent.core.rule import Rule
from myagent.core.rules import is_over
from myagent.exceptions import MyagentError

LIMIT = 200  # rules at a time: more than anybody looks through
FILE_BYTES = 4 << 20


def _now() -> str:
    """Now, as rules have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RulesFull(MyagentError):
    def __str__(self) -> str:
        return f"there are {LIMIT} rules already; revoke one first"


class RulesFile(msgspec.Struct, frozen=True):
    """What `rules.json` holds."""

    version: int
    rules: list[Rule]
    seal: str = ""  # that it was made here, see `seal.py`


class RuleBook:
    """Every change is durable when its method returns; a revoked rule counts no more even if it is not."""

    def __init__(self, path: Path, *, wall: Callable[[], str] = _now, seal: Seal = UNSEALED) -> None:
        self.path = path
        self.seal = seal
        self._wall = wall
        self._rules: dict[str, Rule] = {}
        self._unstored = False  # rules have ended, which the file does not say yet

    def load(self) -> None:
        """Read the file, if there is one. Raises `UnsafeState`, and `Foreign` for rules that were not made here."""
        content = self._read(self.path)
        if content is None:
            return
        if not self.seal.is_ours("rules", msgspec.json.encode(content.rules), content.seal):
            raise Foreign(self.path)
        self._rules = {rule.rule_id: rule for rule in content.rules}

    def adopt(self, source: Path) -> bool:
        """Put the rules of a file in place as ours; false if there is none. Raises `UnsafeState`, `OSError`."""
        content = self._read(source)
        if content is None:
            return False
        self._save({rule.rule_id: rule for rule in content.rules})
        return True

    def live(self) -> list[Rule]:
        """The rules whose time is not over, the oldest first."""
        now = self._wall()
        return [rule for rule in self._rules.values() if not is_over(rule, now)]

    def add(self, rule: Rule) -> None:
        """Raises `RulesFull`, `OSError`."""
        live = {each.rule_id: each for each in self.live()}
        if len(live) >= LIMIT:
            raise RulesFull
        self._save({**live, rule.rule_id: rule})

    def revoke(self, rule_ids: list[str] | None) -> list[Rule]:
        """End rules, or all; returns those that there were. Raises `OSError` if that is not durable: they have ended
        then all the same, for as long as this process lives."""
        chosen = [*self._rules] if rule_ids is None else [each for each in rule_ids if each in self._rules]
        gone = [self._rules.pop(each) for each in dict.fromkeys(chosen)]
        if gone:
            self._unstored = True
            self._save(self._rules)
        return gone

    def store_again(self) -> None:
        """Store what could not be when it ended, if there is such a thing. Raises `OSError`."""
        if self._unstored:
            self._save(self._rules)

    def _read(self, path: Path) -> RulesFile | None:
        data = read_private(path, FILE_BYTES)
        if data is None:
            return None
        try:
            content = msgspec.json.decode(data, type=RulesFile)
        except (msgspec.DecodeError, RecursionError, ValueError):
            content = None
        if content is None or content.version != 1:
            raise UnsafeState(path, "does not hold rules of version 1", "mend it, or remove it: all rules end with it")
        return content

    def _save(self, rules: dict[str, Rule]) -> None:
        mark = self.seal.mark("rules", msgspec.json.encode([*rules.values()]))
        write_private(self.path, msgspec.json.encode(RulesFile(1, [*rules.values()], mark)) + b"\n")
        self._rules = rules
        self._unstored = False
