"""Compression for those who ask for it: the same text live and late, a quarter of the bytes, no secret."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
import websockets
from puppet import Puppet
from raw import Raw, frame, request
from wire import scene

from myagent.client.address import Address
from myagent.client.opening import open_socket

pytestmark = pytest.mark.usefixtures("quiet_log")

Messages = list[tuple[bool, dict[str, object]]]
OFFER = "permessage-deflate; client_max_window_bits"
WORDS = "warning: unused variable `x` in src/module_{}/handlers.rs:{}\n    ^^^^^^^^ help: remove it\n"


def ordinary(size: int) -> str:
    """Output such as a compiler's."""
    return "".join(WORDS.format(number % 7, number) for number in range(size // 80))


class Reader(Raw):
    """A connection that asked for compression: what came of it, in bytes, and its messages inflated."""

    size = 0

    async def come(self, query: str = "") -> None:
        await self.send(request(self._server, target=f"/{query}", Sec_WebSocket_Extensions=OFFER))
        answer = await self.answer()
        assert answer.status == 101
        assert "server_no_context_takeover" in (answer.header("sec-websocket-extensions") or "")

    async def message(self) -> tuple[bool, dict[str, object]]:
        """Whether it came compressed, and what it says."""
        while True:
            first = await self._reader.readexactly(1)
            size = (await self._reader.readexactly(1))[0]
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self._reader.readexactly(size)
            self.size += size + 2
            if first[0] & 0xF == 1:
                packed = bool(first[0] & 0x40)
                text = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") if packed else payload
                return packed, json.loads(text)

    async def until_end(self) -> Messages:
        found = [await self.message()]
        while found[-1][1]["type"] != "terminal_state":
            found.append(await self.message())
        return found


async def test_all_of_it_comes_in_a_quarter_of_the_bytes_live_and_late(tmp_path: Path) -> None:
    agent = Puppet()
    text = ordinary(4 << 20)
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = str((await owner.acked(await owner.send("user_message", prompt="go")))["sessionId"])
        play = await agent.begun()
        async with Reader(here.server) as live, Reader(here.server) as late:
            await live.come("?role=follower")
            for at in range(0, len(text), 60_000):
                await play.say(text[at : at + 60_000])
            play.end()
            plain = await owner.until("terminal_state")
            await late.come(f"?role=follower&session={session}&after=0")
            whole = [each for each in owner.messages if each["type"] == "agent_stdout"]
            for reader in (live, late):
                came = await reader.until_end()
                assert [each for _, each in came if each["type"] == "agent_stdout"] == whole
                assert came[-1][1]["seq"] == plain["seq"]
                assert reader.size < len(text) / 4


async def test_only_events_are_compressed_and_only_large_ones(tmp_path: Path) -> None:
    """What holds a secret of one client's, and what is short, comes as it is."""
    agent = Puppet()
    async with scene(tmp_path, agent) as here, Reader(here.server) as owner:
        await owner.come("?label=" + "x" * 60)
        prompt = {"type": "user_message", "id": "m", "prompt": "a" * 3000}
        await owner.send(frame(1, json.dumps(prompt).encode()))
        play = await agent.begun()
        await play.say("short")
        await play.say(ordinary(20_000))
        play.end()
        came = await owner.until_end()
        packed = {str(each["type"]) for is_packed, each in came if is_packed}
        assert {"welcome", "ack"} <= {str(each["type"]) for is_packed, each in came if not is_packed}
        assert packed == {"prompt", "agent_stdout"}
        assert [each["chunk"] for is_packed, each in came if each["type"] == "agent_stdout" and not is_packed] == [
            "short"
        ]


async def test_an_ordinary_client_with_compression_owns_and_prompts(tmp_path: Path) -> None:
    """`websockets` as it is installed compresses what it sends, too."""
    async with scene(tmp_path, allow_bypass=True) as here:
        headers = {"Authorization": f"Bearer {here.server.token}"}
        async with websockets.connect(here.server.url, additional_headers=headers, compression="deflate") as socket:
            prompt = {
                "type": "user_message",
                "id": "m",
                "prompt": "!printf " + "word" * 2000,
                "permissionMode": "bypassPermissions",
            }
            await socket.send(json.dumps(prompt))
            said = ""
            async for text in socket:
                message = json.loads(text)
                said += message.get("chunk", "")
                if message["type"] == "terminal_state":
                    break
        assert said == "word" * 2000


async def test_who_does_not_ask_is_sent_nothing_compressed(tmp_path: Path) -> None:
    """Beside one who does, in the same turn: `wire.Client` knows no extension, and would close."""
    agent = Puppet()
    async with scene(tmp_path, agent) as here, Reader(here.server) as other:
        owner = await here.join()
        await other.come()
        await owner.send("user_message", prompt="go")
        play = await agent.begun()
        await play.say(ordinary(100_000))
        play.end()
        await owner.until("terminal_state")
        assert "".join(each["chunk"] for each in owner.of("agent_stdout")) == ordinary(100_000)
        assert any(is_packed for is_packed, _ in await other.until_end())


@pytest.mark.parametrize("far", [True, False])
async def test_our_own_client_asks_for_it_where_the_bytes_go_over_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: bool
) -> None:
    monkeypatch.setattr(Address, "loopback", not far)
    async with scene(tmp_path) as here:
        address = Address("127.0.0.1", here.server.port, secure=False)
        headers = {"Authorization": f"Bearer {here.server.token}"}
        socket = await open_socket(address, here.server.url, headers, None)
        assert bool(socket.protocol.extensions) is far
        await socket.close()
