"""The real program with one promise broken: `python -m tests.faults.broken NAME remote serve …`, a negative control."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

from myagent.__main__ import main
from myagent.agents.acp.session import Running
from myagent.agents.acp.session import Session as AcpSession
from myagent.core.session import Step
from myagent.host.session_store import SessionStore
from myagent.host.turns import Turns


def ack_before_commit() -> None:
    store = SessionStore.commit

    async def told_too_early(self: SessionStore, step: Step, parts: Any = None, **how: Any) -> None:
        on_stored = how.pop("on_stored", None)
        if on_stored is not None and how.get("prompts"):
            on_stored([])
            await asyncio.sleep(1.0)  # as a disk that is busy: longer than who kills it waits for the next message
            on_stored = None
        await store(self, step, parts, on_stored=on_stored, **how)

    SessionStore.commit = told_too_early  # type: ignore[method-assign]


def no_recovery() -> None:
    async def leave_it(self: Turns, **_: object) -> None:
        pass

    Turns.close_open = leave_it  # type: ignore[method-assign]


def late_forgotten() -> None:
    attend = AcpSession.attend

    async def without_it(self: AcpSession, running: Running) -> None:
        del self.late[0:1]
        await attend(self, running)

    AcpSession.attend = without_it  # type: ignore[method-assign]


def late_twice() -> None:
    attend = AcpSession.attend

    async def and_again(self: AcpSession, running: Running) -> None:
        self.late[:] = [*self.late, *self.late]
        await attend(self, running)

    AcpSession.attend = and_again  # type: ignore[method-assign]


_ALL = (ack_before_commit, no_recovery, late_forgotten, late_twice)
BROKEN: dict[str, Callable[[], None]] = {each.__name__: each for each in _ALL}


def run(arguments: Sequence[str]) -> int:
    BROKEN[arguments[0]]()
    return main(arguments[1:])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
