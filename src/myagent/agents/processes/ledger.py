"""What an agent has started, written down before it runs, so that the next server can end what outlived this one.

The keeper sees to that while it lives; this is for when both were killed. A number alone names nobody: each is kept
with when its process was started, and with the boot of the machine.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec

from myagent.agents.processes import spawned, tree

FILE_BYTES = 1 << 20


class _Group(msgspec.Struct, frozen=True):
    pid: int
    start: int  # clock ticks since the boot


class _Content(msgspec.Struct, frozen=True):
    boot: str
    groups: list[_Group]


class Ledger:
    """The groups of one workspace. `open` to `close`, all that is started in this process is written down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._groups: dict[int, _Group] = {}

    def open(self) -> int:
        """End what an earlier server has left running; returns how many processes that were. Raises `OSError`."""
        ended = sum(_end(group) for group in self._read())
        self._write()
        spawned.watchers.append(self._tell)
        return ended

    def close(self) -> None:
        """Nothing is left running, but what others in this process have started; idempotent."""
        if self._tell in spawned.watchers:
            spawned.watchers.remove(self._tell)
            self._groups.clear()
            try:
                self._write()
            except OSError:
                pass

    def _tell(self, pid: int, started: bool) -> None:
        kin = tree.look(pid)
        if started and kin is not None:
            self._groups[pid] = _Group(pid, kin.start)
        else:
            self._groups.pop(pid, None)
        try:
            self._write()
        except OSError:  # a full disk, a directory that was deleted: there is the keeper still
            pass

    def _read(self) -> list[_Group]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return []
        with open(descriptor, "rb") as file:
            if os.fstat(descriptor).st_uid != os.geteuid():
                return []
            try:
                content = msgspec.json.decode(file.read(FILE_BYTES), type=_Content)
            except (msgspec.DecodeError, OSError):
                return []
        return content.groups if content.boot == _boot() else []

    def _write(self) -> None:
        """Not synced: what it is for ends with the machine."""
        data = msgspec.json.encode(_Content(_boot(), list(self._groups.values())))
        temporary = self._path.with_name(f".{self._path.name}.new")
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(data)
        temporary.rename(self._path)


def _end(group: _Group) -> int:
    """Kill what is left of a session of that leader's: no earlier process can be in it, and no other leader."""
    kins = tree.everybody()
    leader = kins.get(group.pid)
    if leader is not None and leader.start != group.start:
        return 0
    left = [pid for pid, kin in kins.items() if kin.session == group.pid and kin.start >= group.start]
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    return sum(kins[pid].state != "Z" for pid in left)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
