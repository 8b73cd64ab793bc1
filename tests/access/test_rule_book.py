"""The file that rules are kept in: private, sealed, whole; and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from myagent.access.rule_book import LIMIT, RuleBook, RulesFull
from myagent.access.seal import UNSEALED, Foreign, Seal
from myagent.access.state_directory import UnsafeState
from myagent.core.rule import Rule

SEAL = Seal(b"k" * 32)


def rule(number: int = 0, **more: str) -> Rule:
    fields = {"rule_id": f"r{number}", "match": "exact", "shown": "ls", "cwd": "/w", "tool_name": "Bash"}
    fields |= {"kind": "execute", "asked": "a", "bound": "b", "made_at": "", "made_by": "ada", "credential": "owner"}
    return Rule(**{**fields, **more})  # type: ignore[arg-type]


def book(path: Path, seal: Seal = SEAL, now: str = "2026-01-01T00:00:00.000Z") -> RuleBook:
    made = RuleBook(path, wall=lambda: now, seal=seal)
    made.load()
    return made


def test_rules_outlive_the_program_in_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    book(path).add(rule())
    assert path.stat().st_mode & 0o777 == 0o600
    assert book(path).live() == [rule()]
    assert book(path).revoke(["r0", "r0", "none"]) == [rule()]
    assert book(path).live() == []


def test_rules_of_another_user_or_machine_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    book(path, Seal(b"o" * 32)).add(rule())
    with pytest.raises(Foreign):
        book(path)
    changed = path.read_bytes().replace(b"ls", b"rm")
    path.unlink()
    book(path).add(rule())
    path.write_bytes(changed)
    with pytest.raises(Foreign):
        book(path)


def test_without_a_seal_planted_rules_would_be_believed(tmp_path: Path) -> None:
    """The control of the test above."""
    path = tmp_path / "rules.json"
    book(path, Seal(b"o" * 32)).add(rule())
    assert book(path, UNSEALED).live() == [rule()]


def test_a_file_that_cannot_be_used_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"{}")
    os.close(descriptor)
    with pytest.raises(UnsafeState, match="version 1"):
        book(path)
    assert path.read_bytes() == b"{}"


def test_a_rule_ends_by_the_clock_and_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    early = book(path)
    for number in range(LIMIT):
        early.add(rule(number, until="2026-01-02T00:00:00.000Z"))
    with pytest.raises(RulesFull):
        early.add(rule(LIMIT))
    late = book(path, now="2026-01-02T00:00:00.000Z")
    assert late.live() == []
    late.add(rule(LIMIT))
    assert [each.rule_id for each in late.live()] == [f"r{LIMIT}"]


def test_a_rule_whose_end_could_not_be_stored_has_ended_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "here" / "rules.json"
    path.parent.mkdir()
    kept = book(path)
    kept.add(rule())
    path.rename(tmp_path / "away")
    path.parent.rmdir()
    with pytest.raises(OSError, match="No such file"):
        kept.revoke(None)
    assert kept.live() == []
