"""The process groups that agents have started here and that have not ended, and the keepers that they are below."""

from __future__ import annotations

from collections.abc import Callable

_groups: set[int] = set()
roots: set[int] = set()  # keepers: whatever is below one was started by an agent
adopts = False  # orphans come to this process, which has no other children: they are an agent's as well
watchers: list[Callable[[int, bool], None]] = []  # told of each group before it runs (true) and when it has ended


def started(pid: int) -> None:
    """A child is about to run as the leader of a process group and session of its own."""
    _groups.add(pid)
    for tell in watchers:
        tell(pid, True)


def ended(pid: int) -> None:
    """It was reaped, and its group was killed; idempotent."""
    if pid in _groups:
        _groups.discard(pid)
        for tell in watchers:
            tell(pid, False)


def groups() -> frozenset[int]:
    return frozenset(_groups)
