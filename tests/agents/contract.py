"""What every agent adapter must do, as checks that run against any of them; `test_contract.py` says against which."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agents.recorder import ALLOW, DENY, WAIT_SECONDS, Recorder

from myagent.agents import Agent, Answer, Turn, TurnEnd, TurnIO

_PIDS = re.compile(r"^(\d+)\s(\d+)\n", re.MULTILINE)
END_SECONDS = 3.0  # until a process that was killed must be gone
GREETING = "hello from the workspace"


@dataclass(frozen=True)
class Subject:
    """An agent, and the prompts that make it do what the checks are about; `None`: it has nothing of the kind."""

    name: str
    make: Callable[[Path], Agent]
    says: str  # what greeting.txt holds
    changes: str  # makes the file `changed`, having asked
    lingers: str  # starts two processes, says their ids, separated by white space, and waits, having asked if it asks
    runs: str | None  # runs the shell script run.sh, which its plan must name
    fails: str | None  # fails, and says why
    goes_on: bool = False  # a tool call that fails is told to a model, and the turn may end well


def turn(root: Path, prompt: str, session: str = "session") -> Turn:
    return Turn(session_id=session, turn_id=f"turn in {session}", prompt=prompt, mode="default", cwd=root)


def populate(root: Path) -> None:
    (root / "greeting.txt").write_text(f"{GREETING}\n")
    (root / "run.sh").write_text("echo good >ran\n")


async def answers_a_prompt(subject: Subject, root: Path) -> None:
    """A prompt is answered on stdout, and the turn ends well."""
    async with started(subject, root) as agent:
        io = Recorder()
        end = await agent.run(turn(root, subject.says), io)
        assert (end.stop_reason, end.exit_code or 0, end.message) == ("end_turn", 0, None)
        assert GREETING in io.out


async def tells_what_it_is(subject: Subject, root: Path) -> None:
    async with started(subject, root) as agent:
        assert agent.info.name
        assert "\n" not in agent.info.note
        json.dumps(agent.info.state)


async def fails_with_a_reason(subject: Subject, root: Path) -> None:
    if subject.fails is None:
        pytest.skip("has no prompt that fails")
    async with started(subject, root) as agent:
        io = Recorder()
        end = await agent.run(turn(root, subject.fails), io)
        assert end.exit_code not in (0, None) or end.stop_reason == "failed"
        assert io.err.strip() or end.message


async def sends_updates_that_a_client_can_follow(subject: Subject, root: Path) -> None:
    """Every update has its shape; every tool call is announced before it is updated, and closed at the end."""
    async with started(subject, root) as agent:
        for prompt, answer in [(subject.says, ALLOW), (subject.changes, ALLOW), (subject.changes, DENY)]:
            (root / "changed").unlink(missing_ok=True)
            io = Recorder(answer)
            await agent.run(turn(root, prompt), io)
            check_updates(io.updates)
            for stream, text, update in io.said:
                assert text or (stream == "stderr" and update), "what renders to nothing is an empty stderr"
                if update is not None and update["sessionUpdate"] == "agent_message_chunk":
                    assert (stream, text) == ("stdout", update["content"]["text"])


async def asks_before_it_changes_anything(subject: Subject, root: Path) -> None:
    async def nothing_yet() -> None:
        assert not (root / "changed").exists()

    async with started(subject, root) as agent:
        io = Recorder(ALLOW, nothing_yet)
        end = await agent.run(turn(root, subject.changes), io)
        assert (root / "changed").exists()
        assert (end.stop_reason, end.exit_code or 0) == ("end_turn", 0)
        assert len(io.asked) == 1
        call = io.asked[0]
        assert call.tool_name
        assert call.text
        json.dumps([call.input, call.plan], allow_nan=False)


async def does_nothing_without_an_allow(subject: Subject, root: Path) -> None:
    async with started(subject, root) as agent:
        for answer in (DENY, Answer("expired"), Answer("cancelled")):
            io = Recorder(answer)
            end = await agent.run(turn(root, subject.changes), io)
            assert len(io.asked) == 1
            assert not (root / "changed").exists()
            assert end.stop_reason == "cancelled" or end.exit_code != 0
            if answer is DENY:
                assert "not today" in io.err + (end.message or "")


async def runs_nothing_that_changed_while_asking(subject: Subject, root: Path) -> None:
    if subject.runs is None:
        pytest.skip("runs no files that it could name")

    async def swap() -> None:
        (root / "run.sh").write_text("echo evil >ran\n")

    async with started(subject, root) as agent:
        io = Recorder(ALLOW, swap)
        end = await agent.run(turn(root, subject.runs), io)
        assert not (root / "ran").exists()
        assert subject.goes_on or end.exit_code == 1
        assert "run.sh" in io.err + io.out
        await agent.run(turn(root, subject.runs), Recorder(ALLOW))  # as it is now, it may run
        assert (root / "ran").read_text() == "evil\n"


async def leaves_no_process_when_cancelled(subject: Subject, root: Path) -> None:
    async with started(subject, root) as agent:
        running, pids = await lingering(agent, root, subject)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WAIT_SECONDS)
        await all_gone(pids)
        io = Recorder()
        await agent.run(turn(root, subject.says), io)  # and goes on
        assert GREETING in io.out


async def does_nothing_when_cancelled_while_asking(subject: Subject, root: Path) -> None:
    async with started(subject, root) as agent:
        never = asyncio.Event()
        io = Recorder(ALLOW, lambda: never.wait())  # type: ignore[arg-type, return-value]
        running = asyncio.create_task(agent.run(turn(root, subject.changes), io))
        await io.until(lambda: bool(io.asked))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WAIT_SECONDS)
        assert not (root / "changed").exists()


async def closes_its_calls_when_cancelled(subject: Subject, root: Path) -> None:
    """A tool call that was announced is told to be over, also when its turn is cancelled while it is asked about."""
    async with started(subject, root) as agent:
        never = asyncio.Event()
        io = Recorder(ALLOW, lambda: never.wait())  # type: ignore[arg-type, return-value]
        running = asyncio.create_task(agent.run(turn(root, subject.changes), io))
        await io.until(lambda: bool(io.asked))
        running.cancel()
        await asyncio.wait({running}, timeout=WAIT_SECONDS)
        told = [each for each in io.updates if each["sessionUpdate"] in ("tool_call", "tool_call_update")]
        last = {each["toolCallId"]: each.get("status") for each in told if each.get("status")}
        assert set(last.values()) <= {"completed", "failed"}, last


async def works_for_several_sessions_at_once(subject: Subject, root: Path) -> None:
    async with started(subject, root) as agent:
        running, pids = await lingering(agent, root, subject)
        io = Recorder()
        await agent.run(turn(root, subject.says, session="another"), io)
        assert GREETING in io.out
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
        await all_gone(pids)


async def leaves_no_process_when_closed(subject: Subject, root: Path) -> None:
    agent = subject.make(root)
    await agent.start()
    running, pids = await lingering(agent, root, subject)
    try:
        await asyncio.wait_for(agent.close(), WAIT_SECONDS)
        await all_gone(pids)
        await asyncio.wait([running], timeout=WAIT_SECONDS)
        assert running.done()
        assert running.cancelled() or running.exception() is not None or running.result().exit_code != 0
    finally:
        running.cancel()
        await asyncio.wait([running])
    await agent.close()


CHECKS = [
    answers_a_prompt,
    tells_what_it_is,
    fails_with_a_reason,
    sends_updates_that_a_client_can_follow,
    asks_before_it_changes_anything,
    does_nothing_without_an_allow,
    runs_nothing_that_changed_while_asking,
    leaves_no_process_when_cancelled,
    does_nothing_when_cancelled_while_asking,
    closes_its_calls_when_cancelled,
    works_for_several_sessions_at_once,
    leaves_no_process_when_closed,
]
Check = Callable[[Subject, Path], Awaitable[None]]


@asynccontextmanager
async def started(subject: Subject, root: Path) -> AsyncIterator[Agent]:
    """The agent while it is up; closes it however the check goes."""
    agent = subject.make(root)
    await agent.start()
    try:
        yield agent
    finally:
        await agent.close()


async def lingering(agent: Agent, root: Path, subject: Subject) -> tuple[asyncio.Task[TurnEnd], list[psutil.Process]]:
    io = Recorder()

    async def run(io: TurnIO) -> TurnEnd:
        return await agent.run(turn(root, subject.lingers), io)

    running = asyncio.create_task(run(io))
    await io.until(lambda: _PIDS.search(io.out + io.err) is not None)
    pids = _PIDS.search(io.out + io.err)
    assert pids is not None
    return running, [psutil.Process(int(pid)) for pid in pids.groups()]


async def all_gone(processes: list[psutil.Process]) -> None:
    """Wait for the end of processes that were killed: the kernel takes its moment. Reaping orphans is init's job."""

    def is_alive(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = asyncio.get_running_loop().time() + END_SECONDS
    while alive := [process for process in processes if is_alive(process)]:
        assert asyncio.get_running_loop().time() < deadline, f"still running: {alive}"
        await asyncio.sleep(0.002)


def check_updates(updates: list[dict[str, Any]]) -> None:
    status: dict[str, str] = {}
    for update in updates:
        match update["sessionUpdate"]:
            case "agent_message_chunk" | "agent_thought_chunk":
                assert isinstance(update["content"], dict)
                assert isinstance(update["content"]["type"], str)
            case "tool_call":
                assert update["toolCallId"] not in status
                assert update["title"]
                status[update["toolCallId"]] = update.get("status", "pending")
            case "tool_call_update":
                status[update["toolCallId"]] = update.get("status") or status[update["toolCallId"]]
            case other:
                assert isinstance(other, str)  # what a newer agent says is passed on
    assert set(status.values()) <= {"completed", "failed"}
