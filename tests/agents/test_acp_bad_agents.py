"""Agents that misbehave: each has a clear outcome, and none leaves a process behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psutil
import pytest
from tests.agents.contract import all_gone, check_updates
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting

from myagent.agents.acp.host import AcpAgent
from myagent.agents.processes.ndjson import LINE_BYTES, Lines, LineTooLong
from myagent.exceptions import AgentUnavailable

pytestmark = pytest.mark.usefixtures("nothing_is_left")


# --- before the first prompt ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "initialize=hang"], "did not answer initialize within 0.5 seconds"),
        (["--at", "session/new=hang"], "did not answer session/new within 0.5 seconds"),
        (["--at", "initialize=exit"], "exited with status 41; its stderr ended with: no key found"),
        (["--at", "initialize=garbage"], "does not speak ACP: .*Welcome to FakeAgent"),
        (["--at", "initialize=refuse"], "Internal error: no such thing"),
        (["--version", "2"], "speaks ACP version 2, and this is version 1"),
    ],
)
def test_an_agent_that_cannot_start_says_why(tmp_path: Path, options: list[str], said: str) -> None:
    async def test(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match=said):
            await hosted.agent.start()
        end, _ = await hosted.run("say x")
        assert end.stop_reason == "failed"
        assert end.exit_code == {"initialize=exit": 41, "initialize=garbage": 137}.get(options[1], 1)

    hosting(test, tmp_path, *options, start_seconds=0.5 if "hang" in options[1] else 20.0)


@pytest.mark.parametrize("command", ["cat", "yes", "true", "false"])
def test_a_command_that_is_no_agent_is_found_out(tmp_path: Path, command: str) -> None:
    async def main() -> None:
        agent = AcpAgent([command], cwd=tmp_path)
        with pytest.raises(AgentUnavailable, match=command):
            await agent.start()

    asyncio.run(main())


def test_a_missing_command_says_how_to_install_it(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        agent = AcpAgent(["/nowhere/opencode"], cwd=tmp_path)
        with pytest.raises(AgentUnavailable, match="/nowhere/opencode: No such file"):
            await agent.start()

    hosting(test, tmp_path)


def test_being_cancelled_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        starting = asyncio.create_task(hosted.agent.start())
        while not psutil.Process().children():
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    hosting(test, tmp_path, "--at", "initialize=hang")


# --- during a turn --------------------------------------------------------------------------------------------------


def test_garbage_is_passed_over(tmp_path: Path) -> None:
    """Banners, arrays, answers to nothing, deep nesting, bytes that are no text: the turn goes on."""

    async def test(hosted: Hosted) -> None:
        assert await hosted.says("garbage") == "still here"
        assert hosted.agent.tally["garbage"] == 10

    hosting(test, tmp_path)


def test_half_a_line_and_an_exit_end_the_turn(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, _ = await hosted.run("half")
        assert (end.stop_reason, end.exit_code, end.message) == ("failed", 1, "the agent exited with status 0")
        assert await hosted.says("say again") == "again"

    hosting(test, tmp_path)


def test_a_line_of_60_mib_is_read_and_its_update_trimmed(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, told = await hosted.run("huge 60")
        assert (end.stop_reason, told.out) == ("end_turn", "sent")
        assert told.updates[0]["sessionUpdate"] == "x_blob"
        assert len(json.dumps(told.updates[0])) < 10_000

    hosting(test, tmp_path)


def test_a_line_of_100_mib_ends_the_agent(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, told = await hosted.run("huge 100")
        assert (end.stop_reason, end.exit_code) == ("failed", 137)
        assert end.message == "the agent was ended: it sent a line longer than 64 MiB"
        assert told.out == ""
        assert await hosted.says("say again") == "again"

    hosting(test, tmp_path)


def test_unknown_requests_are_refused_and_unknown_notifications_passed_on(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, told = await hosted.run("unknown")
        assert end.stop_reason == "end_turn"
        assert json.loads(told.out) == [-32601, -32601]
        assert [update["sessionUpdate"] for update in told.updates[:2]] == ["_notification", "compaction_update"]
        assert told.updates[0]["method"] == "_fake/notify"
        assert hosted.agent.tally["logged"] == 2

    hosting(test, tmp_path)


def test_a_second_request_with_an_open_id_is_not_a_second_question(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        async def second_seen() -> None:
            while not hosted.agent.tally["garbage"]:
                await asyncio.sleep(0.01)

        end, told = await hosted.run("duplicate", Recorder(while_asking=second_seen))
        assert (end.stop_reason, told.out, len(told.asked)) == ("end_turn", "yes", 1)

    hosting(test, tmp_path)


def test_a_permission_request_between_turns_is_cancelled(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, first = await hosted.run("late")
        assert end.stop_reason == "end_turn"
        while not hosted.agent.tally["late"]:
            await asyncio.sleep(0.01)
        _, second = await hosted.run("say next")
        assert first.asked == second.asked == []
        assert second.out == "late: cancelled\nnext "  # what it said between turns is not lost

    hosting(test, tmp_path)


def test_permission_requests_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, told = await hosted.run("strange")
        assert end.stop_reason == "end_turn"
        assert json.loads(told.out) == [-32602, -32602, -32602, -32602, "cancelled"]
        assert told.asked == []

    hosting(test, tmp_path)


def test_an_agent_that_closes_its_output_is_ended(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, told = await hosted.run("close")
        assert (end.stop_reason, told.out) == ("failed", "mute")
        assert "closed its output and went on running" in str(end.message)

    hosting(test, tmp_path)


@pytest.mark.parametrize("where", ["", " away"])
def test_a_child_that_keeps_the_pipes_does_not_hold_up_the_turn(tmp_path: Path, where: str) -> None:
    """In the agent's process group it is killed; one that left the group lives on, but its pipe leads nowhere."""

    async def test(hosted: Hosted) -> None:
        end, told = await hosted.run(f"fork {tmp_path}/pid{where}")
        child = psutil.Process(int((tmp_path / "pid").read_text()))
        try:
            assert (end.stop_reason, end.exit_code, told.out) == ("failed", 5, "forked")
            if where:
                assert child.is_running()
            else:
                await all_gone([child])
        finally:
            if where:
                child.kill()
                await all_gone([child])

    hosting(test, tmp_path)


def test_a_chatty_stderr_does_not_block_the_agent(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        assert await hosted.says("chatter") == "heard"

    hosting(test, tmp_path)


def test_a_host_that_fails_ends_its_own_turn_only(tmp_path: Path) -> None:
    class Broken(Recorder):
        async def stdout(self, text: str, *, update: object = None) -> None:
            raise OSError("no space")

    async def test(hosted: Hosted) -> None:
        other = Recorder()
        waiting = asyncio.create_task(hosted.run("wait", other, session="other"))
        await other.until(lambda: "waiting" in other.out)
        told = Broken()
        with pytest.raises(OSError, match="no space"):
            await hosted.run("wait", told)
        check_updates(told.updates)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})

    hosting(test, tmp_path)


def test_closing_during_a_turn_ends_it(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        told = Recorder()
        running = asyncio.create_task(hosted.run("ignore_cancel", told))
        await told.until(lambda: "deaf" in told.out)
        await hosted.agent.close()
        await hosted.agent.close()
        end, _ = await running
        assert (end.stop_reason, end.message) == ("failed", "the agent was ended: the host closed it")

    hosting(test, tmp_path)


def test_an_agent_that_reads_no_more_is_ended_when_cancelled(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.run("stop_reading")
        told = Recorder()
        running = asyncio.create_task(hosted.run("say " + "x" * 1_000_000, told))
        for _ in range(100):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await hosted.says("say again") == "again"

    hosting(test, tmp_path, cancel_seconds=0.2)


@pytest.mark.parametrize("grace", [1.0, 0.0])
def test_closing_lets_the_agents_children_write_what_must_be_kept(
    tmp_path: Path, grace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: without the grace it is lost."""
    monkeypatch.setattr("myagent.agents.processes.piped.GRACE_SECONDS", grace)

    async def test(hosted: Hosted) -> None:
        await hosted.run(f"scribe {tmp_path}/history")
        await hosted.agent.close()
        assert (tmp_path / "history").exists() == bool(grace)

    hosting(test, tmp_path)


# --- lines ----------------------------------------------------------------------------------------------------------


def test_lines_come_out_whole_however_they_are_cut() -> None:
    text = b"one\ntwo and more\n\nfour\nhalf"
    for size in range(1, len(text)):
        lines = Lines()
        found = [line for start in range(0, len(text), size) for line in lines.feed(text[start : start + size])]
        assert found == [b"one", b"two and more", b"", b"four"]
        assert lines.pending == len(b"half")


def test_a_line_at_the_limit_passes_and_one_above_does_not() -> None:
    lines = Lines(limit=4)
    assert lines.feed(b"1234\n12") == [b"1234"]
    assert lines.feed(b"34\n") == [b"1234"]
    with pytest.raises(LineTooLong):
        lines.feed(b"12345\n")


def test_reading_a_line_is_linear_in_its_length() -> None:
    """Every byte is copied when it comes and when the line ends, and is not looked at again in between."""
    lines = Lines()
    piece = b"x" * 65536
    for _ in range(LINE_BYTES // len(piece)):
        assert lines.feed(piece) == []
    assert len(lines._pieces) == LINE_BYTES // len(piece)
    assert all(kept is piece for kept in lines._pieces)
    assert len(lines.feed(b"\n")[0]) == LINE_BYTES
