"""Tells the agent's own processes from everybody else's, so that an agent cannot drive the session that it is in.

Linux only: elsewhere, and for a process that has left its ancestors, its group and its session, nothing is found.
It is the second defence, not the first: a process of the same user can do much that nobody sees.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

from myagent.agents.processes import spawned

ANCESTORS = 64  # looked at; a longer line of them is taken for inside

Address = tuple[str, int]  # of a TCP socket: IP address, port

_PROC = Path("/proc")


def is_inside(pid: int) -> bool:
    """Whether a process was started by an agent of ours: itself, an ancestor, its group or its session."""
    groups = spawned.groups()
    return bool(groups) and _belongs(pid, groups, {})


def holds_connection(peer: Address, own: Address) -> bool:
    """Whether one of the agent's processes holds the other end of a TCP connection from `peer` to us at `own`."""
    groups = spawned.groups()
    if not groups:
        return False
    seen: dict[int, tuple[int, int, int] | None] = {}
    inodes = {inode for pid in _processes() if _belongs(pid, groups, seen) for inode in _sockets(pid)}
    return bool(inodes) and not inodes.isdisjoint(_inodes(peer, own))


def _belongs(pid: int, groups: frozenset[int], seen: dict[int, tuple[int, int, int] | None]) -> bool:
    own = os.getpid()
    for _ in range(ANCESTORS):
        if pid in groups:
            return True
        if pid in (0, 1, own):
            return False
        if pid not in seen:
            seen[pid] = _kin(pid)
        kin = seen[pid]
        if kin is None:
            return False
        pid, group, session = kin
        if group in groups or session in groups:
            return True
    return True


def _kin(pid: int) -> tuple[int, int, int] | None:
    """A process's parent, group and session; `None` if it has ended, or where there is no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            parent, group, session = map(int, file.read().rpartition(b")")[2].split()[1:4])
    except OSError:
        return None
    return parent, group, session


def _processes() -> Iterator[int]:
    try:
        names = os.listdir(_PROC)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of the sockets that a process has open."""
    directory = _PROC / str(pid) / "fd"
    try:
        names = os.listdir(directory)
    except OSError:  # it has ended, or is not ours to look at
        return
    for name in names:
        try:
            target = os.readlink(directory / name)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _inodes(peer: Address, own: Address) -> Iterator[str]:
    """The inodes of the sockets here whose own end is `peer` and whose other end is `own`."""
    wanted = {(_row(peer, mapped), _row(own, mapped)) for mapped in (False, True)}
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (_PROC / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if (fields[1], fields[2]) in wanted:
                yield fields[9]


def _row(address: Address, mapped: bool) -> str:
    """An address as the kernel writes it: 32-bit words in the machine's order; `mapped`: IPv4 within IPv6."""
    ip = ipaddress.ip_address(address[0].partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    packed = ip.packed
    if mapped and len(packed) == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    words = (int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
