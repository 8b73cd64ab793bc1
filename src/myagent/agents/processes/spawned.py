"""The process groups that agents have started here and that have not ended."""

from __future__ import annotations

_groups: set[int] = set()


def started(pid: int) -> None:
    """A child was started as the leader of a process group and session of its own."""
    _groups.add(pid)


def ended(pid: int) -> None:
    """It was reaped, and its group was killed; idempotent."""
    _groups.discard(pid)


def groups() -> frozenset[int]:
    return frozenset(_groups)
