"""Which processes here are an agent's: all below a keeper of ours, and the groups and sessions that we started.

Nobody leaves: a keeper is who inherits the orphans of what it started. Linux only; elsewhere nothing is found.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from myagent.agents.processes import spawned

ANCESTORS = 64  # looked at; a longer line of them is taken for inside
ATTEMPTS = 3


class Kin(NamedTuple):
    """Where a process belongs. `start` is in clock ticks since the machine was started: with it, a number is unique."""

    state: str
    parent: int
    group: int
    session: int
    start: int


def look(pid: int) -> Kin | None:
    """`None` if there is no such process, or where there is no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
    except OSError:
        return None
    return Kin(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def everybody() -> dict[int, Kin]:
    """All processes that can be seen."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    found = ((int(name), look(int(name))) for name in names if name.isdecimal())
    return {pid: kin for pid, kin in found if kin is not None}


def inside(kins: Mapping[int, Kin]) -> frozenset[int]:
    """Those of them that are an agent's."""
    if not spawned.groups() and not spawned.roots:
        return frozenset()
    return frozenset(pid for pid in kins if belongs(pid, kins))


def belongs(pid: int, kins: Mapping[int, Kin] | None = None) -> bool:
    """Whether a process is an agent's, by what `kins` knows, or else by what can be seen now."""
    for _ in range(ATTEMPTS):
        answer = _walk(pid, kins)
        if answer is not None:
            return answer
        kins = None
    return False


def _walk(first: int, kins: Mapping[int, Kin] | None) -> bool | None:
    """As `belongs`; `None` when somebody above it ended meanwhile, so that it has another parent now."""
    own, groups, roots, pid = os.getpid(), spawned.groups(), spawned.roots, first
    for _ in range(ANCESTORS):
        if pid in groups:
            return True
        kin = look(pid) if kins is None else kins.get(pid) or look(pid)
        if kin is None:
            return False if pid == first else None
        if pid in (1, own):
            return False
        if kin.group in groups or kin.session in groups or kin.parent in roots:
            return True
        if kin.parent == own:
            return spawned.adopts and pid not in roots
        if kin.parent == 0:  # nobody's that can be seen
            return False
        pid = kin.parent
    return True
