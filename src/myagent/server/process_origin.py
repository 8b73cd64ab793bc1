"""Tells the agent's own processes from everybody else's, so that an agent cannot drive the session that it is in.

Who is on this machine has to be shown not to be the agent's, as long as anything of the agent's runs: some process
that is not has the other end of the connection open. What cannot be known is a no. Linux only.

It is the second defence, not the first: a process of the same user can do much that nobody sees.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import socket
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from myagent.agents.processes import tree
from myagent.server import standstill

HOLDERS = 4096  # of connections, remembered: who has had it is looked at first

INSIDE = "it is a process of the agent's"
NOBODY = "no process that can be seen has the other end of the connection open"
HIDDEN = "process {} of the agent's hides what it has open"

Address = tuple[str, int]  # of a TCP socket: IP address, port

_PROC = Path("/proc")
_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of linux/proc_ns.h
_holders: OrderedDict[str, int] = OrderedDict()  # inode of a socket → who had it open


def is_inside(pid: int) -> bool:
    """Whether a process was started by an agent of ours: itself, or whoever is above it."""
    return tree.belongs(pid)


def why_inside(peer: Address, own: Address) -> str:
    """Why a TCP connection from `peer` to us at `own` counts as the agent's, in words; empty if it does not."""
    kins = tree.everybody()
    agents = tree.inside(kins)
    if not agents:
        return ""
    rows = list(_rows(peer, own))
    if not rows:
        return NOBODY if _is_here(peer[0]) else ""
    inode, uid = rows[0]
    if inode == "0":
        return NOBODY
    for pid in agents:
        try:
            if inode in standstill.sockets(pid, threads=True):
                return INSIDE
        except PermissionError:
            return HIDDEN.format(pid)
    seen, hidden = _seen_outside(inode, kins, agents)
    if seen or _is_anothers(uid):
        return ""
    if hidden or _others_are_unseen():  # the end of a tunnel, or somebody in the container's host, may have it
        return standstill.why_held(inode)
    return NOBODY


def _seen_outside(inode: str, kins: Mapping[int, tree.Kin], agents: frozenset[int]) -> tuple[bool, bool]:
    """Whether a process that is not an agent's has a socket open, and whether there are some that may have it."""
    hidden = False
    before = _holders.get(inode)
    for pid in (before, *kins) if before in kins else kins:
        if pid is None or pid in agents:
            continue
        try:
            found = inode in standstill.sockets(pid)
        except PermissionError:
            hidden = True
            continue
        if found:
            _holders[inode] = pid
            _holders.move_to_end(inode)
            if len(_holders) > HOLDERS:
                _holders.popitem(last=False)
            return True, hidden
    return False, hidden


def _rows(peer: Address, own: Address) -> Iterator[tuple[str, int]]:
    """Inode and user of the sockets here whose own end is `peer` and whose other end is `own`; inode 0: closed."""
    wanted = {(_row(peer, mapped), _row(own, mapped)) for mapped in (False, True)}
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (_PROC / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if (fields[1], fields[2]) in wanted:
                yield fields[9], int(fields[7])


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


def _is_here(host: str) -> bool:
    """Whether an IP address is one of this machine's: whatever is not cannot be bound."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as bound:
            bound.bind((str(ip), 0))
    except OSError:
        return False
    return True


def _is_anothers(uid: int) -> bool:
    """Whether a socket was made by a user that no process of the agent's can become, as the kernel has it."""
    return os.geteuid() != 0 and uid != os.geteuid() and not any(uid in each for each in _lent())


@cache
def _lent() -> tuple[range, ...]:
    """The user ids that this user may take in a namespace of its own (subuid(5))."""
    own = {str(os.geteuid())}
    try:
        own.add(pwd.getpwuid(os.geteuid()).pw_name)
        lines = Path("/etc/subuid").read_text().splitlines()
    except (KeyError, OSError):
        return ()
    fields = [line.split(":") for line in lines if line.count(":") == 2]
    return tuple(range(int(first), int(first) + int(count)) for name, first, count in fields if name in own)


def _others_are_unseen() -> bool:
    """Whether there may be processes on this machine that we cannot see, and none of which is the agent's."""
    try:
        if os.readlink("/proc/self/ns/pid") != _FIRST_PID_NAMESPACE:
            return True
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return True
    return any(" /proc " in line and "hidepid=" in line for line in mounts)
