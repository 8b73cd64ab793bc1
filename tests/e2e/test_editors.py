"""Editors at a shared session, each a real client of the Agent Client Protocol that starts `myagent acp`."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import acp
import pytest
from editing import COMMAND, editor
from puppet import PATIENCE
from serving import gone, process, refused
from tests.editors.hostile import ROWS
from wire import decide


async def test_an_editor_prompts_streams_allows_denies_cancels_and_loads(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("what it reads\n")
    async with process(tmp_path), editor(tmp_path) as side:
        session = await side.open(tmp_path)
        assert (await side.prompt(session, "read a.txt")).stop_reason == "end_turn"
        assert side.said() == "what it reads\n"
        side.answers.put_nowait("allow_once")
        await side.prompt(session, "!echo allowed")
        side.answers.put_nowait("reject_once")
        assert (await side.prompt(session, "!echo denied")).stop_reason == "end_turn"
        assert side.said() == "what it reads\nallowed\n"
        assert len(side.requests) == 2
        side.answers.put_nowait("allow_once")
        running = asyncio.create_task(side.prompt(session, "!echo begun; sleep 1000"))
        await side.until(lambda: "begun" in side.said())
        await side.connection.cancel(session_id=session)
        assert (await running).stop_reason == "cancelled"
        live = side.said()
        side.updates.clear()
        await side.connection.load_session(cwd=str(tmp_path), session_id=session)
        assert side.said() == live
        assert side.said("user_message_chunk") == "read a.txt!echo allowed!echo denied!echo begun; sleep 1000"
        listed = await side.connection.list_sessions(cwd=str(tmp_path))
        assert [(each.session_id, each.title) for each in listed.sessions] == [(session, "read a.txt")]


async def test_another_owners_turn_is_watched_live_and_a_handover_lets_the_editor_prompt(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    async with process(tmp_path) as (_, here):
        owner = await here.join("?label=alice")
        session = (await here.turn(owner, "read a.txt"))["sessionId"]
        async with editor(tmp_path) as side:
            await side.connection.load_session(cwd=str(tmp_path), session_id=session)
            assert side.said() == "hello\n"
            with pytest.raises(acp.RequestError, match="read-only follower: the slot is taken by alice; /claim asks"):
                await side.prompt(session, "read a.txt")
            await here.turn(owner, "!echo live", sessionId=session)
            await side.until(lambda: side.said() == "hello\nlive\n")
            assert side.said("user_message_chunk").endswith("alice: !echo live")
            assert side.requests == []
            await owner.send("who")
            people = (await owner.until("connections"))["connections"]
            [zed] = [each["connectionId"] for each in people if each["label"] == "sdk"]
            await owner.send("handover", to=zed)
            await owner.until("role", role="follower")
            await side.until(lambda: any("handed_over" in str(update.field_meta) for _, update in side.updates))
            side.answers.put_nowait("allow_once")
            assert (await side.prompt(session, "!echo mine")).stop_reason == "end_turn"
            assert (await owner.until("prompt"))["by"] == "sdk"
            await side.prompt(session, "/handover alice")
            await owner.until("role", role="owner")


async def test_a_request_that_somebody_else_answers_is_taken_back_from_the_editor(tmp_path: Path) -> None:
    async with process(tmp_path) as (_, here), editor(tmp_path) as side:
        session = await side.open(tmp_path)
        running = asyncio.create_task(side.prompt(session, "!echo went on"))
        await side.until(lambda: len(side.requests) == 1)
        # The editor hands over while the question is open: it is the new owner's to answer.
        other = await here.join("?label=bob")
        await side.prompt(session, "/handover bob")
        await decide(other, await other.until("permission_request", pending=True), "allow")
        assert (await running).stop_reason == "end_turn"
        assert side.said().endswith("went on\n")
        side.answers.put_nowait("reject_once")  # too late: it means nothing
        await here.turn(other, "help", sessionId=session)


async def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with process(tmp_path) as (server, _):
        port = server.port
        starting = editor(tmp_path)
        side = await starting.__aenter__()
        session = await side.open(tmp_path)
        side.answers.put_nowait("allow_once")
        line = "for i in $(seq 1 20000); do echo line $i; done; sleep 1000"
        running = asyncio.create_task(side.prompt(session, f"!{line}"))
        await side.until(lambda: "line 500\n" in side.said())
        await server.stop(signal.SIGKILL)
    async with process(tmp_path, "--port", str(port)):
        with pytest.raises(acp.RequestError, match="the server stopped before this turn ended"):
            await running
        live = side.said()
        side.answers.put_nowait("allow_once")
        await side.prompt(session, "!echo again")
        assert side.said() == live + "again\n"
        side.updates.clear()
        await side.connection.load_session(cwd=str(tmp_path), session_id=session)
        assert side.said() == live + "again\n"
        lines = live.splitlines()
        assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
        await starting.__aexit__(None, None, None)


async def test_a_server_that_comes_back_at_another_port_is_found_beneath_the_editor(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    async with process(tmp_path) as (server, _):
        starting = editor(tmp_path)
        side = await starting.__aenter__()
        session = await side.open(tmp_path)
        await side.prompt(session, "read a.txt")
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await server.stop(signal.SIGKILL)
            taken.bind(("127.0.0.1", server.port))
            async with process(tmp_path) as (second, _):
                assert second.port != server.port
                await side.prompt(session, "read a.txt")
                assert side.said() == "hello\nhello\n"
                listed = await side.connection.list_sessions(cwd=str(tmp_path))
                assert [each.session_id for each in listed.sessions] == [session]
                await starting.__aexit__(None, None, None)


async def test_serve_starts_a_server_that_ends_with_the_editor_also_when_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    for number in (None, signal.SIGKILL):
        async with editor(tmp_path, "--serve") as side:
            session = await side.open(tmp_path)
            await side.prompt(session, "read a.txt")
            served = [each.pid for each in _children(side.process.pid) if "serve" in each.cmdline()]
            assert served
            async with editor(tmp_path, "--serve") as second:  # which joins the one that runs
                await second.connection.load_session(cwd=str(tmp_path), session_id=session)
                assert second.said() == "hello\n"
            if number is not None:
                side.process.send_signal(number)
                await side.process.wait()
        async with asyncio.timeout(PATIENCE):
            while not all(gone(pid) for pid in served):
                await asyncio.sleep(0.01)


def _children(pid: int) -> list:  # type: ignore[type-arg]
    import psutil

    return psutil.Process(pid).children(recursive=True)


async def test_what_cannot_be_joined_is_said_in_one_line_to_the_editor_and_on_stderr(tmp_path: Path) -> None:
    starting = await asyncio.create_subprocess_exec(
        *COMMAND,
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    first = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}\n'
    said, beside = await asyncio.wait_for(starting.communicate(first), PATIENCE)
    why = f"no server runs in {tmp_path} or above: run `myagent serve` there, or give --serve here"
    assert why in said.decode()
    assert said.count(b"\n") == 1
    assert beside.decode() == f"[remote] {why}\n"
    assert starting.returncode == 3


async def test_a_server_that_cannot_be_started_is_said_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(acp.RequestError, match=r"the server could not be started: .*nowhere"):
        async with editor(tmp_path, "--serve", "--", "/nowhere/to/be/found"):
            pass


async def test_an_owner_token_in_an_editor_is_an_invites_follower_with_an_invite(tmp_path: Path) -> None:
    async with process(tmp_path, "--invite") as (server, here):
        owner = await here.join("?label=alice")
        session = (await here.turn(owner, "help"))["sessionId"]
        told = ""
        while "#" not in told:
            told = (await asyncio.wait_for(server.process.stdout.readline(), PATIENCE)).decode()
        link = next(word for word in told.split() if "#" in word)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        async with editor(elsewhere, "--url", link) as side:
            await side.connection.load_session(cwd=str(elsewhere), session_id=session)
            with pytest.raises(acp.RequestError, match="this credential can watch and no more"):
                await side.prompt(session, "x" * 5000)
            await here.turn(owner, "!echo live", sessionId=session)
            await side.until(lambda: side.said().endswith("live\n"))


async def test_serve_refuses_a_stdin_that_is_at_its_end(tmp_path: Path) -> None:
    """The negative control of --stop-with-stdin: with nobody at the other end it does not serve on."""
    code, said = await refused(tmp_path, "--stop-with-stdin", stdin=asyncio.subprocess.DEVNULL)
    assert code == 0
    assert "stopping" in said


async def test_hostile_lines_leave_the_program_and_its_session_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    async with process(tmp_path), editor(tmp_path) as side:
        session = await side.open(tmp_path)
        for frame, _ in ROWS:
            side.process.stdin.write(frame.replace(b"\n", b" ") + b"\n")
            await side.process.stdin.drain()
        assert (await side.prompt(session, "read a.txt")).stop_reason == "end_turn"
        assert side.said() == "hello\n"


async def test_an_editor_that_was_killed_takes_its_slot_back_when_it_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    async with process(tmp_path) as (_, here):
        watcher = await here.join("?role=follower")
        async with editor(tmp_path) as side:
            session = await side.open(tmp_path)
            side.process.kill()
            await side.process.wait()
        await watcher.until("owner_changed", why="lost")
        async with editor(tmp_path) as side:
            await side.connection.load_session(cwd=str(tmp_path), session_id=session)
            with pytest.raises(acp.RequestError, match="nobody owns this session now; /claim takes the slot"):
                await side.prompt(session, "read a.txt")
            await side.prompt(session, "/claim")
            assert side.said() == "you own this session now"
            await side.prompt(session, "read a.txt")
            assert side.said().endswith("hello\n")


async def test_version_2_is_spoken_where_it_was_allowed_and_asked_for(tmp_path: Path) -> None:
    for options, version in (((), 1), (("--acp-v2",), 2)):
        async with process(tmp_path):
            program = await asyncio.create_subprocess_exec(
                *COMMAND, *options, cwd=tmp_path, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            talk = Talk(program)
            info = {"name": "two", "version": "1"}
            said = await talk.ask("initialize", protocolVersion=2, info=info)
            assert said["protocolVersion"] == version
            if version == 2:
                session = (await talk.ask("session/new", cwd=str(tmp_path)))["sessionId"]
                text = [{"type": "text", "text": "!echo hello"}]
                assert (await talk.ask("session/prompt", sessionId=session, prompt=text))["messageId"]
                asked = await talk.until(lambda each: each.get("method") == "session/request_permission")
                chosen = {"outcome": {"outcome": "selected", "optionId": "myagent:allow"}}
                talk.send({"id": asked["id"], "result": chosen})
                ended = await talk.until(lambda each: "'idle'" in str(each) and "stopReason" in str(each))
                assert ended["params"]["update"]["stopReason"] == "end_turn"
                assert [each for each in talk.seen if "'text': 'hello" in str(each)]
            program.stdin.close()
            assert await asyncio.wait_for(program.wait(), PATIENCE) == 0


class Talk:
    """JSON-RPC with a program, one line each."""

    def __init__(self, program: asyncio.subprocess.Process) -> None:
        self._program, self._count, self.seen = program, 0, list[dict[str, Any]]()

    def send(self, message: dict[str, Any]) -> None:
        self._program.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def ask(self, method: str, **params: Any) -> Any:
        self._count += 1
        number = self._count
        self.send({"id": number, "method": method, "params": params})
        return (await self.until(lambda each: each.get("id") == number and "method" not in each))["result"]

    async def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            self.seen.append(json.loads(await asyncio.wait_for(self._program.stdout.readline(), PATIENCE)))
            if true(self.seen[-1]):
                return self.seen[-1]
