"""For a process that runs a server and nothing else: orphans come to it, so that nothing of an agent's leaves it.

As process 1 of a container it also reaps whoever else is orphaned there. Linux only.
"""

from __future__ import annotations

import ctypes
import os

from myagent.agents.processes import keeper, spawned, tree

_orphans: set[int] = set()  # zombies that nobody of ours was waiting for when they were last looked at


def begin() -> None:
    """Take in orphans from now on."""
    try:
        done = ctypes.CDLL(None).prctl(keeper.SUBREAPER, 1, 0, 0, 0) == 0
    except (OSError, AttributeError):
        return
    spawned.adopts = done and os.getpid() != 1  # process 1 also gets what others have put into its container


def reap() -> None:
    """Reap the zombies that were there the last time already: who waits for a child of ours has done so by then."""
    global _orphans
    children = keeper.children(os.getpid())
    zombies = {pid for pid in children if pid not in spawned.roots and (kin := tree.look(pid)) and kin.state == "Z"}
    for pid in zombies & _orphans:
        keeper.reap(pid)
    _orphans = zombies


def end_all() -> None:
    """Kill the orphans that have come to us, when the agents have been ended."""
    if spawned.adopts:
        for pid in keeper.children(os.getpid()):
            if pid not in spawned.roots:
                keeper.kill(pid)
