"""`/acp`: an editor on a WebSocket is a connection like any other, and what it is told is what the schema says."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from puppet import PATIENCE, Puppet
from tests.editors.judge import JSON, Judge
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from wire import Scene, scene

from myagent.delivery.window import frame as finished_frame
from myagent.server.editor import _frames


class Editor:
    """A client of `/acp`, whose every frame is judged."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.judge = socket, Judge()
        self._numbers = itertools.count(1)
        self.seen: list[JSON] = []

    async def next(self) -> JSON:
        data = await asyncio.wait_for(self.socket.recv(), PATIENCE)
        assert isinstance(data, str)
        self.seen.append(self.judge.took(data.encode()))
        return self.seen[-1]

    async def begin(self, method: str, **params: Any) -> int:
        number = next(self._numbers)
        self.judge.sent(number, method)
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        return number

    async def until(self, number: int) -> JSON:
        while number not in self.judge.answers:
            await self.next()
        return self.judge.answers[number]

    async def ask(self, method: str, **params: Any) -> JSON:
        return await self.until(await self.begin(method, **params))

    async def prompt(self, session: str, text: str) -> JSON:
        return await self.ask("session/prompt", sessionId=session, prompt=[{"type": "text", "text": text}])

    async def open(self) -> str:
        return str((await self.ask("session/new", cwd="/mine", mcpServers=[]))["result"]["sessionId"])

    def said(self) -> str:
        updates = [each["update"] for each in self.judge.updates]
        return "".join(each["content"]["text"] for each in updates if each["sessionUpdate"] == "agent_message_chunk")


@asynccontextmanager
async def editor(here: Scene, query: str = "", token: str | None = None) -> AsyncIterator[Editor]:
    headers = {"Authorization": f"Bearer {token or here.server.token}"}
    url = f"{here.server.url}/acp{query}"
    async with connect(url, additional_headers=headers, compression=None, proxy=None) as socket:
        assert socket.response is not None
        assert socket.response.headers["Acp-Connection-Id"].startswith("c_")
        side = Editor(socket)
        info = {"name": "zed", "version": "1"}
        assert (await side.ask("initialize", protocolVersion=1, clientInfo=info))["result"]["protocolVersion"] == 1
        yield side


@pytest.mark.usefixtures("quiet_log")
async def test_an_editor_prompts_is_asked_and_loads_what_was_said(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, editor(here) as side:
        session = await side.open()
        number = await side.begin(
            "session/prompt", sessionId=session, prompt=[{"type": "text", "text": "!seq 1 5; echo end"}]
        )
        while not side.judge.asked:
            await side.next()
        [request] = side.judge.asked
        answer = {"outcome": {"outcome": "selected", "optionId": "myagent:allow"}}
        await side.socket.send(json.dumps({"jsonrpc": "2.0", "id": request, "result": answer}))
        assert (await side.until(number))["result"]["stopReason"] == "end_turn"
        assert side.said() == "1\n2\n3\n4\n5\nend\n"
        async with editor(here) as second:
            loaded = await second.ask("session/load", sessionId=session, cwd="/other", mcpServers=[])
            assert loaded["result"]["_meta"]["myagent"]["role"] == "follower"
            assert second.said() == side.said()
            refusal = (await second.prompt(session, "help"))["error"]
            assert refusal["message"] == "read-only follower: the slot is taken by zed; /claim asks for it"
            listed = (await second.ask("session/list", cwd="/other"))["result"]["sessions"]
            assert [(row["sessionId"], row["cwd"]) for row in listed] == [(session, "/other")]


@pytest.mark.usefixtures("quiet_log")
async def test_it_has_a_seat_a_role_and_a_label_like_any_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join("?label=alice")
        async with editor(here) as side:
            await owner.send("who")
            rows = (await owner.until("connections"))["connections"]
            assert [(row["role"], row["label"]) for row in rows] == [("owner", "alice"), ("follower", "zed")]
            assert here.server.host.ownership.followers == 1
            session = (await here.turn(owner, "help"))["sessionId"]
            await side.ask("session/resume", sessionId=session, cwd="/mine", mcpServers=[])
            await here.turn(owner, "help", sessionId=session)
            await side.ask("session/list")
            while not side.said():
                await side.next()
            await owner.leave()
            while "why': 'left'" not in str(side.judge.updates):
                await side.next()
            refusal = (await side.prompt(session, "help"))["error"]["message"]
            assert refusal.startswith("read-only follower: nobody owns this session now; /claim takes the slot")
            assert (await side.prompt(session, "/claim"))["result"]["stopReason"] == "end_turn"
            assert (await side.prompt(session, "help"))["result"]["stopReason"] == "end_turn"


@pytest.mark.usefixtures("quiet_log")
async def test_a_slow_editor_is_served_from_the_log_and_gets_all(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = (await owner.acked(await owner.send("user_message", prompt="go")))["sessionId"]
        play = await agent.begun()
        async with editor(here) as side:
            await side.ask("session/resume", sessionId=session, cwd="/mine", mcpServers=[])
            texts = [f"{number}:" + "x" * 50_000 for number in range(300)]  # far more than what sockets hold
            for text in texts:
                await play.io.stdout(text)
            play.end()
            await owner.until("terminal_state")
            while not any("stopReason" in str(each["update"].get("_meta")) for each in side.judge.updates):
                await side.next()
            assert side.said() == "".join(texts)


@pytest.mark.usefixtures("quiet_log")
async def test_a_followers_messages_are_small_and_its_invite_cannot_own(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        token = here.server.invite(label="guest").token
        async with editor(here, token=token) as side:
            refusal = (await side.ask("session/new", cwd="/", mcpServers=[]))["error"]
            assert "this credential can watch and no more" in refusal["message"]
            with pytest.raises(ConnectionClosed) as closed:
                await side.prompt("s", "x" * 5000)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009


@pytest.mark.usefixtures("quiet_log")
async def test_too_many_messages_are_refused_and_too_many_errors_end_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, editor(here) as side:
        with pytest.raises(ConnectionClosed) as closed:
            await _err_often(side)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    async with scene(tmp_path) as here, editor(here) as side:
        numbers = [await side.begin("session/list") for _ in range(60)]
        told = [await side.until(number) for number in numbers]
        assert any("too many messages" in each.get("error", {}).get("message", "") for each in told)


@pytest.mark.usefixtures("quiet_log")
async def test_without_a_credential_or_an_upgrade_nothing_is_served(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        status, body = await here.get("/acp")
        assert (status, b"over WebSocket alone" in body) == (426, True)
        assert (await here.get("/acp", authorized=False))[0] == 401
        status, body = await here.get("/acp", method="POST")
        assert (status, b"over WebSocket alone" in body) == (405, True)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{here.server.url}/acp", proxy=None)
        assert refused.value.response.status_code == 401


@pytest.mark.usefixtures("quiet_log")
async def test_binary_frames_close_it_and_a_revoked_invite_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, editor(here) as side:
        await side.socket.send(b"\x00")
        with pytest.raises(ConnectionClosed) as closed:
            await side.next()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1003


def test_frames_are_taken_apart_as_they_were_put_together() -> None:
    payloads = [b"", b"a" * 125, b"b" * 126, b"c" * 65535, b"d" * 65536]
    data = b"head" + b"".join(map(finished_frame, payloads)) + b"\x89\x00"
    found = list(_frames(data, 4))
    assert [payload for _, _, payload in found] == [*payloads, b""]
    assert [first for first, _, _ in found] == [0x81] * 5 + [0x89]
    assert b"".join(whole for _, whole, _ in found) == data[4:]


async def _err_often(side: Editor) -> None:
    for _ in range(100):
        assert "error" in await side.ask("nothing/of/this/name")
