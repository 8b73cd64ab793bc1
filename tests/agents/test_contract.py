"""Every agent adapter keeps the contract, and the contract notices agents that do not."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agents import contract
from tests.agents.contract import CHECKS, Check, Subject, populate
from tests.agents.modelled import MODEL, needs_models

from myagent.agents import Agent, Answer, ToolCall, Turn, TurnEnd, TurnIO
from myagent.agents.builtin.command import CommandAgent
from myagent.agents.exec import ExecAgent
from myagent.agents.processes import keeper
from myagent.agents.processes.process import _Child
from myagent.agents.tools import tools

COMMAND = Subject(
    name="command",
    make=lambda root: CommandAgent(),
    says="read greeting.txt",
    changes="write changed\nsomething",
    lingers="!sleep 1000 & echo $$ $!; wait",
    runs="!sh run.sh",
    fails="read nothing.txt",
)
EXEC = Subject(
    name="exec",
    make=lambda root: ExecAgent("sh -c {prompt}", cwd=root),
    says="cat greeting.txt",
    changes="echo something >changed",
    lingers="sleep 1000 & echo $$ $!; wait",
    runs=None,
    fails="cat nothing.txt",
)
SUBJECTS = [COMMAND, EXEC, pytest.param(MODEL, marks=needs_models)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_contract(subject: Subject, check: Check, tmp_path: Path) -> None:
    populate(tmp_path)
    descriptors = set(os.listdir("/proc/self/fd"))
    asyncio.run(check(subject, tmp_path))
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert psutil.Process().children() == []


class Wrapped:
    """A host's side that an agent has tampered with: asks nobody, or asks and does not listen."""

    def __init__(self, io: TurnIO, *, asks: bool) -> None:
        self._io, self._asks = io, asks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io, name)

    async def ask(self, call: ToolCall) -> Answer:
        if self._asks:
            await self._io.ask(call)
        return Answer("allow")


class Hasty(CommandAgent):
    """Asks nobody."""

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        return await super().run(turn, Wrapped(io, asks=False))


class Deaf(CommandAgent):
    """Asks, and does not listen to the answer."""

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        return await super().run(turn, Wrapped(io, asks=True))


class Silent(CommandAgent):
    """Leaves its tool calls open."""

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        class Mute(Wrapped):
            async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
                if (update or {}).get("status") not in ("completed", "failed"):
                    await self._io.stderr(text, update=update)

            async def ask(self, call: ToolCall) -> Answer:
                return await self._io.ask(call)

        return await super().run(turn, Mute(io, asks=True))


@pytest.mark.parametrize(
    ("rogue", "check"),
    [
        (Hasty, contract.asks_before_it_changes_anything),
        (Hasty, contract.does_nothing_without_an_allow),
        (Deaf, contract.does_nothing_without_an_allow),
        (Silent, contract.sends_updates_that_a_client_can_follow),
        (Silent, contract.closes_its_calls_when_cancelled),
    ],
)
def test_the_contract_notices(rogue: type[Agent], check: Check, tmp_path: Path) -> None:
    populate(tmp_path)
    with pytest.raises(AssertionError):
        asyncio.run(check(replace(COMMAND, make=lambda root: rogue()), tmp_path))


def test_the_contract_notices_a_missing_second_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    populate(tmp_path)
    monkeypatch.setattr(tools, "differences", lambda before, now: [])
    with pytest.raises(AssertionError):
        asyncio.run(contract.runs_nothing_that_changed_while_asking(COMMAND, tmp_path))
    assert (tmp_path / "ran").read_text() == "evil\n"


def test_the_contract_notices_a_process_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    populate(tmp_path)

    def only_the_leader(child: _Child, number: int) -> None:
        if child._process.status is None:
            os.kill(child._process.pid, number)

    code = Path(keeper.__file__).read_text()
    (tmp_path / "keeper.py").write_text(code.replace("os.kill(pid, signal.SIGKILL)", "pass"))
    monkeypatch.setattr("myagent.agents.processes.kept._PROGRAM", tmp_path / "keeper.py")
    monkeypatch.setattr(_Child, "_signal", only_the_leader)
    monkeypatch.setattr("myagent.agents.processes.process.GRACE_SECONDS", 0.05)
    monkeypatch.setattr(contract, "END_SECONDS", 0.2)
    subject = replace(COMMAND, lingers="!sleep 1000 & echo $$ $! | tee pids; wait")
    try:
        with pytest.raises(AssertionError):
            asyncio.run(contract.leaves_no_process_when_cancelled(subject, tmp_path))
    finally:
        left = psutil.Process(int((tmp_path / "pids").read_text().split()[1]))
        left.kill()
