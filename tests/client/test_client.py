"""The client against servers that are written down here, message by message, and against the real one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from myagent.agents.builtin.command import CommandAgent
from myagent.client import (
    BadToken,
    BadUrl,
    CannotConnect,
    Client,
    Disconnected,
    MissingEvents,
    NotConnected,
    NotMyagent,
    PlainToken,
    Refused,
    State,
    Unknown,
    connect,
)
from myagent.client.options import full_jitter
from myagent.client.view import View
from myagent.core.messages import (
    Ack,
    AgentStdout,
    Error,
    Event,
    PermissionRequest,
    Ready,
    RoleMessage,
    SessionMetadata,
    TerminalState,
    Welcome,
)
from myagent.server import Server, Settings
from myagent.settings import LIMITS as LIMITS_OF_A_SERVER

TOKEN = "t" * 43
PATIENCE = 10.0  # seconds; a test that waits longer hangs

LIMITS = {
    "messageBytes": 1, "promptBytes": 1, "chunkFrameBytes": 1, "fragments": 1, "ownerMessagesPerSecond": 50,
    "followerMessagesPerSecond": 5, "errors": 20, "queue": 16,
}  # fmt: skip


def run(test: Awaitable[None]) -> None:
    async def within_patience() -> None:
        async with asyncio.timeout(PATIENCE):
            await test

    asyncio.run(within_patience())


class Peer:
    """The server's end of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        assert socket.request is not None
        self.headers = socket.request.headers
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(socket.request.path).query).items()}

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def greet(self, role: str = "owner", **welcome: Any) -> None:
        """As a server of ours does: `ready`, `role`, `welcome`; and take the `hello`."""
        await self.send(READY, {"type": "role", "role": role}, welcome_message(**welcome))
        hello = await self.receive()
        assert hello["type"] == "hello"
        await self.send({"type": "ack", "id": hello["id"], "duplicate": False})

    async def stay(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.socket.recv()


READY = {"type": "ready", "protocolVersion": 1}


def welcome_message(**fields: Any) -> dict[str, Any]:
    return {
        "type": "welcome", "connectionId": "c1", "server": {"name": "myagent", "version": "0"}, "scope": "owner",
        "ownerEpoch": 1, "owner": {"connectionId": "c1", "label": ""}, "followers": 0, "sessions": [],
        "limits": LIMITS, **fields,
    }  # fmt: skip


def metadata(session_id: str, head: int) -> dict[str, Any]:
    return {
        "version": 1, "sessionId": session_id, "cwd": "/w", "createdAt": "", "updatedAt": "", "state": "idle",
        "writeIds": [], "title": "", "agent": "command", "mode": "default", "queue": [], "head": head,
    }  # fmt: skip


def out(session_id: str, seq: int) -> dict[str, Any]:
    return {"type": "agent_stdout", "id": "t", "sessionId": session_id, "seq": seq, "chunk": f"{session_id}{seq}"}


Handler = Callable[[Peer], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(*handlers: Handler) -> AsyncIterator[tuple[str, list[Peer]]]:
    """Serve one handler after the other, one connection each; the last one takes all that follow."""
    peers: list[Peer] = []
    failures: list[BaseException] = []

    async def connected(socket: ServerConnection) -> None:
        peer = Peer(socket)
        peers.append(peer)
        try:
            await handlers[min(len(peers), len(handlers)) - 1](peer)
        except ConnectionClosed:
            pass
        except AssertionError as failure:
            failures.append(failure)

    async with serve(connected, "127.0.0.1", 0, compression=None) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}", peers
    if failures:
        raise failures[0]


def at_once(_: int) -> float:
    return 0.0


def reconnecting(url: str, **more: Any) -> Client:
    return connect(url, **{"token": TOKEN, "reconnect": True, "backoff": at_once, **more})


# --- version 1 ---------------------------------------------------------------------------------------------------


def test_a_turn_with_a_server_of_the_bare_version_1() -> None:
    """It sends v1 messages only, and gets v1 messages only."""
    got: list[dict[str, Any]] = []

    async def v1(peer: Peer) -> None:
        await peer.send(READY, {"type": "role", "role": "owner"})
        prompt = await peer.receive()
        got.append(prompt)
        turn = prompt["id"]
        old = {
            "version": 1, "sessionId": "s", "cwd": "/w", "createdAt": "", "updatedAt": "", "state": "running",
            "writeIds": [turn],
        }  # fmt: skip
        asked = {"toolName": "bash", "input": {"command": "rm \u202e"}, "reason": "because"}
        await peer.send(
            {"type": "ack", "id": turn, "sessionId": "s", "duplicate": False},
            {"type": "session_metadata", "session": old},
            {"type": "agent_stdout", "id": turn, "chunk": "hi"},
            {"type": "permission_request", "id": turn, "permissionRequestId": "p", "request": asked},
        )
        got.append(await peer.receive())
        await peer.send(
            {"type": "error", "message": "just so"},
            {"type": "terminal_state", "id": turn, "sessionId": "s", "exitCode": 0},
        )
        await peer.stay()

    async def test() -> None:
        seen: list[Any] = []
        async with server(v1) as (url, _), connect(url, token=TOKEN) as client:
            assert (client.role, client.welcome, client.connection_id, client.limits) == ("owner", None, None, None)
            turn = await client.prompt("do it")
            async for message in client:
                seen.append(message)
                if isinstance(message, PermissionRequest):
                    assert message.request.flags == ("bidi",)
                    assert "\\u{202e}" in message.request.display
                    await client.decide(message, "deny", reason="no")
                if isinstance(message, TerminalState):
                    break
            assert client.sessions["s"].state == "running"
        assert [type(message) for message in seen] == [
            Ready, RoleMessage, Ack, SessionMetadata, AgentStdout, PermissionRequest, Error, TerminalState
        ]  # fmt: skip
        assert seen[4] == AgentStdout(id=turn, session_id="s", chunk="hi")
        decision = {"kind": "deny", "reason": "no"}
        assert [{**message, "id": ""} for message in got] == [
            {"type": "user_message", "id": "", "prompt": "do it"},
            {"type": "permission_decision", "id": "", "permissionRequestId": "p", "decision": decision},
        ]

    run(test())


def test_what_is_unknown_is_kept_and_no_error() -> None:
    strange = {"type": "fireworks", "colour": "red"}
    misshapen = {"type": "presence", "followers": "many"}
    future = {"type": "agent_dance", "id": "t", "sessionId": "s", "seq": 1, "step": 2}

    async def newer(peer: Peer) -> None:
        await peer.greet(newField={"a": 1}, sessions=[metadata("s", 0)])
        await peer.send(strange, misshapen, future, {**out("s", 2), "newField": 1})
        await peer.stay()

    async def test() -> None:
        async with server(newer) as (url, _), connect(url, token=TOKEN) as client:
            seen = [await anext(client) for _ in range(7)]
        assert seen[3:6] == [Unknown(m["type"], m) for m in (strange, misshapen, future)]
        assert isinstance(seen[6], AgentStdout)  # the unknown event had its place in the run

    run(test())


# --- connecting --------------------------------------------------------------------------------------------------


def test_the_token_travels_in_a_header_and_the_rest_in_the_query() -> None:
    async def test() -> None:
        async with server(lambda peer: peer.greet()) as (url, peers):
            async with connect(url, token=TOKEN, session="s", after=3, role="follower", label="me & you"):
                pass
            async with connect(url, token=TOKEN):
                pass
        assert peers[0].headers["Authorization"] == f"Bearer {TOKEN}"
        assert peers[0].query == {"role": "follower", "session": "s", "after": "3", "label": "me & you"}
        assert peers[1].socket.request is not None
        assert peers[1].socket.request.path == "/"
        assert all("Sec-WebSocket-Extensions" not in peer.headers for peer in peers)

    run(test())


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ftp://127.0.0.1:1", BadUrl),
        ("ws://", BadUrl),
        ("ws://h:port", BadUrl),
        ("ws://me:secret@127.0.0.1:1", BadUrl),
        ("ws://127.0.0.1:1/?token=secret", BadUrl),
        ("https://h/agent?token=secret", BadUrl),
        ("ws://h/a%0d%0ab", BadUrl),
        ("ws://192.0.2.1:1", PlainToken),
        ("ws://example.org", PlainToken),
    ],
)
def test_an_address_that_will_not_do_is_refused_before_anything_is_sent(url: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        connect(url, token=TOKEN)
    assert "secret" not in str(caught.value)


def test_plain_transport_is_allowed_to_this_machine_and_where_asked_for() -> None:
    for url in ("ws://127.0.0.1:1", "ws://[::1]:1", "ws://localhost:1", "wss://example.org"):
        connect(url, token=TOKEN)
    connect("ws://192.0.2.1:1", token=TOKEN, insecure_plain=True)


@pytest.mark.parametrize("token", ["", "two words", "a\r\nX-Evil: 1", "tökén"])
def test_what_is_no_token_is_not_sent(token: str) -> None:
    with pytest.raises(BadToken):
        connect("ws://127.0.0.1:1", token=token)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 503])
def test_a_refused_upgrade_is_one_clear_line(status: int) -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(status, "secret detail\n")
        response.headers["Location"] = "ws://127.0.0.1:1/"
        return response

    async def test() -> None:
        async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            with pytest.raises(Refused) as caught:
                async with reconnecting(f"ws://127.0.0.1:{port}"):
                    pass
        assert caught.value.status == status
        assert f"({status})" in str(caught.value)
        assert "\n" not in str(caught.value)

    run(test())


def test_nobody_there_is_one_clear_line() -> None:
    async def test() -> None:
        async with server(lambda peer: peer.greet()) as (url, _):
            pass
        with pytest.raises(CannotConnect, match="no server is listening there"):
            async with connect(url, token=TOKEN):
                pass

    run(test())


@pytest.mark.parametrize("answer", [b"SSH-2.0-nonsense\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""])
def test_something_else_there_is_one_clear_line(answer: bytes) -> None:
    async def test() -> None:
        async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(other, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            with pytest.raises((CannotConnect, Refused)) as caught:
                async with connect(f"ws://127.0.0.1:{port}", token=TOKEN):
                    pass
        assert "\n" not in str(caught.value)

    run(test())


@pytest.mark.parametrize(
    "first", [{"type": "role", "role": "owner"}, {"type": "ready", "protocolVersion": 2}, ["ready"], 1]
)
def test_another_protocol_is_told(first: Any) -> None:
    async def test() -> None:
        async with server(lambda peer: peer.send(first)) as (url, _):
            with pytest.raises(NotMyagent):
                async with connect(url, token=TOKEN):
                    pass

    run(test())


# --- reconnecting ------------------------------------------------------------------------------------------------


def test_an_owner_comes_back_as_the_owner_and_sends_again_what_was_not_answered() -> None:
    prompts: list[dict[str, Any]] = []

    async def first(peer: Peer) -> None:
        await peer.greet(reclaimToken="back")
        prompts.append(await peer.receive())
        peer.socket.transport.abort()

    async def second(peer: Peer) -> None:
        assert peer.headers["X-Myagent-Reclaim"] == "back"
        assert peer.query == {}
        await peer.greet(reclaimToken="again")
        prompts.append(await peer.receive())
        await peer.send({"type": "ack", "id": prompts[-1]["id"], "sessionId": "s", "duplicate": False})
        await peer.stay()

    async def test() -> None:
        async with server(first, second) as (url, peers), reconnecting(url) as client:
            turn = await client.prompt("once")
            async for message in client:
                if isinstance(message, Ack):
                    break
            assert client.unacked == frozenset()
        assert prompts[0] == prompts[1] == {"type": "user_message", "id": turn, "prompt": "once"}
        assert len(peers) == 2

    run(test())


def test_a_follower_comes_back_as_a_follower_and_resumes_what_it_missed() -> None:
    async def first(peer: Peer) -> None:
        await peer.greet("follower", sessions=[metadata("a", 5), metadata("b", 1)])
        await peer.send(out("a", 6), out("b", 2))
        peer.socket.transport.abort()

    async def second(peer: Peer) -> None:
        assert peer.query == {"role": "follower"}
        assert "X-Myagent-Reclaim" not in peer.headers
        await peer.greet("follower", sessions=[metadata("a", 8), metadata("b", 2), metadata("c", 1)])
        await peer.send(out("a", 9), out("b", 3))  # live, before the resumes are taken up
        resumes = {(message := await peer.receive())["sessionId"]: message for _ in range(2)}
        assert {name: resume["afterSeq"] for name, resume in resumes.items()} == {"a": 6, "c": 0}
        for name, head in (("a", 9), ("c", 1)):
            resume = resumes[name]
            await peer.send({"type": "ack", "id": resume["id"], "sessionId": name, "duplicate": False})
            await peer.send(*(out(name, seq) for seq in range(resume["afterSeq"] + 1, head + 1)))
            await peer.send({"type": "replayed", "id": resume["id"], "sessionId": name, "head": head})
        await peer.send(out("a", 10))
        await peer.stay()

    async def test() -> None:
        chunks: list[str] = []
        states: list[State] = []
        async with server(first, second) as (url, _), reconnecting(url, on_state=states.append) as client:
            async for message in client:
                if isinstance(message, AgentStdout):
                    chunks.append(message.chunk)
                if chunks[-1:] == ["a10"]:
                    break
            assert client.seen == {"a": 10, "b": 3, "c": 1}
            assert client.behind == frozenset()
        assert chunks == ["a6", "b2", "b3", "a7", "a8", "a9", "c1", "a10"]
        names = [name for name, _ in itertools.groupby(state.name for state in states)]
        assert names == ["owner_elsewhere", "reconnecting", "replaying", "owner_elsewhere", "closed"]

    run(test())


def test_a_watcher_of_one_session_says_in_the_url_what_it_has_seen() -> None:
    async def first(peer: Peer) -> None:
        assert peer.query == {"session": "a"}
        await peer.greet("follower", sessions=[metadata("a", 5), metadata("b", 1)])
        peer.socket.transport.abort()

    async def second(peer: Peer) -> None:
        assert peer.query == {"role": "follower", "session": "a", "after": "5"}
        await peer.greet("follower", sessions=[metadata("a", 6)])
        await peer.send(out("a", 6))
        await peer.stay()

    async def test() -> None:
        async with server(first, second) as (url, _), reconnecting(url, session="a") as client:
            async for message in client:
                if isinstance(message, AgentStdout):
                    assert message.seq == 6
                    break

    run(test())


def test_many_missed_sessions_are_resumed_although_the_server_limits_messages() -> None:
    async def first(peer: Peer) -> None:
        await peer.greet(sessions=[metadata(f"s{number}", 1) for number in range(4)])
        peer.socket.transport.abort()

    async def second(peer: Peer) -> None:
        await peer.greet(sessions=[metadata(f"s{number}", 2) for number in range(4)])
        refused = await peer.receive()
        await peer.send({"type": "error", "id": refused["id"], "message": "too fast", "code": "rate_limited"})
        for _ in range(4):
            resume = await peer.receive()
            name = resume["sessionId"]
            await peer.send({"type": "ack", "id": resume["id"], "sessionId": name, "duplicate": False}, out(name, 2))
            await peer.send({"type": "replayed", "id": resume["id"], "sessionId": name, "head": 2})
        await peer.stay()

    async def test() -> None:
        async with server(first, second) as (url, _), reconnecting(url) as client:
            async for message in client:
                assert not isinstance(message, Error)
                if len(client.seen) == 4 and set(client.seen.values()) == {2}:
                    break

    run(test())


def test_what_the_server_had_no_room_for_is_sent_again_when_it_says_so() -> None:
    """A prompt and a question: neither refusal is shown, and both come again, unchanged, after the time that was told;
    what is sent meanwhile waits, too."""
    waited: list[float] = []

    async def busy(peer: Peer) -> None:
        await peer.greet()
        first = [await peer.receive() for _ in range(2)]
        for message in first:
            refusal = {"type": "error", "message": "too fast", "code": "rate_limited", "retryAfter": 0.3}
            await peer.send({**refusal, "id": message["id"]})
        began = asyncio.get_running_loop().time()
        again = [await peer.receive() for _ in range(2)]
        waited.append(asyncio.get_running_loop().time() - began)
        assert sorted(map(str, again)) == sorted(map(str, first))
        for message in again:
            answer = {"who": {"type": "connections", "connections": []}}.get(
                message["type"], {"type": "ack", "sessionId": "s", "duplicate": False}
            )
            await peer.send({**answer, "id": message["id"]})
        assert (await peer.receive())["type"] == "ping"
        await peer.stay()

    async def test() -> None:
        async with server(busy) as (url, _), reconnecting(url) as client:
            await client.prompt("help")
            await client.who()
            left = {"ack", "connections"}
            async for message in client:
                assert not isinstance(message, Error)
                left.discard(type(message).__name__.lower())
                if not left:
                    break
            await client.ping()
            assert not client.unacked

    run(test())
    assert waited[0] >= 0.25, "less than the server asked for, but for the clock's grain"


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1009, 4401, 4999])
def test_final_close_codes_end_it_and_say_why(code: int) -> None:
    async def close(peer: Peer) -> None:
        await peer.greet()
        await peer.socket.close(code, "so it is")

    async def test() -> None:
        async with server(close) as (url, peers), reconnecting(url) as client:
            with pytest.raises(Disconnected) as caught:
                async for _ in client:
                    pass
            assert client.state == State("closed", str(caught.value), code=code)
            with pytest.raises(StopAsyncIteration):
                await anext(client)
        assert (caught.value.code, caught.value.reason) == (code, "so it is")
        assert len(peers) == 1

    run(test())


@pytest.mark.parametrize("code", [1001, 1011, 1012, 4408])
def test_other_close_codes_are_survived(code: int) -> None:
    async def close(peer: Peer) -> None:
        await peer.greet(reclaimToken="r")
        await peer.socket.close(code)

    async def stay(peer: Peer) -> None:
        assert peer.headers["X-Myagent-Reclaim"] == "r"
        await peer.greet()
        await peer.send(out("a", 1))
        await peer.stay()

    async def test() -> None:
        async with server(close, stay) as (url, _), reconnecting(url) as client:
            async for message in client:
                if isinstance(message, AgentStdout):
                    break

    run(test())


def test_who_lost_the_ownership_comes_back_as_a_follower() -> None:
    async def taken(peer: Peer) -> None:
        await peer.greet(reclaimToken="old")
        await peer.socket.close(4409)

    async def stay(peer: Peer) -> None:
        assert peer.query == {"role": "follower"}
        assert "X-Myagent-Reclaim" not in peer.headers
        await peer.greet("follower", owner={"connectionId": "c9", "label": "other"})
        await peer.stay()

    async def test() -> None:
        async with server(taken, stay) as (url, _), reconnecting(url) as client:
            async for message in client:
                if isinstance(message, Welcome) and message.owner and message.owner.label == "other":
                    break
            assert str(client.state) == "watching; the owner is elsewhere: other"

    run(test())


def test_without_being_asked_to_it_does_not_reconnect() -> None:
    async def drop(peer: Peer) -> None:
        await peer.greet()
        peer.socket.transport.abort()

    async def test() -> None:
        async with server(drop) as (url, peers), connect(url, token=TOKEN) as client:
            with pytest.raises(Disconnected, match="connection was lost"):
                async for _ in client:
                    pass
            with pytest.raises(NotConnected):
                await client.ping()
        assert len(peers) == 1

    run(test())


def test_it_gives_up_in_time_where_a_time_is_set() -> None:
    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            url, peers = await stack.enter_async_context(server(lambda peer: peer.greet()))
            client = await stack.enter_async_context(reconnecting(url, reconnect_for=0.0))
            peers[0].socket.transport.abort()
            peers[0].socket.server.close(close_connections=False)
            with pytest.raises(CannotConnect, match="no server is listening"):
                async for _ in client:
                    pass

    run(test())


BEAT = 0.05  # seconds; the default of 5 s finds a dead server within 10 s


def test_a_silent_server_that_is_alive_is_kept() -> None:
    async def silent(peer: Peer) -> None:
        await peer.greet()
        await asyncio.sleep(6 * BEAT)
        await peer.send(out("a", 1))
        await peer.stay()

    async def test() -> None:
        async with server(silent) as (url, _), connect(url, token=TOKEN, heartbeat=BEAT) as client:
            async for message in client:
                if isinstance(message, AgentStdout):
                    break

    run(test())


def test_a_dead_server_is_found_without_fin_or_rst() -> None:
    async def dead(peer: Peer) -> None:
        await peer.greet()
        peer.socket.transport.pause_reading()  # so that no ping is answered, and the connection stays up
        await peer.stay()

    async def test() -> None:
        async with server(dead) as (url, peers), connect(url, token=TOKEN, heartbeat=BEAT) as client:
            with pytest.raises(Disconnected) as lost:
                async for _ in client:
                    pass
            peers[0].socket.transport.abort()
        assert lost.value.code == 1006

    run(test())


def test_a_consumer_that_is_busy_is_no_sign_of_a_dead_server() -> None:
    async def chatty(peer: Peer) -> None:
        await peer.greet()
        await peer.send(*(out("a", seq) for seq in range(1, 300)))
        await peer.stay()

    async def test() -> None:
        async with server(chatty) as (url, _), connect(url, token=TOKEN, heartbeat=0.02) as client:
            async for message in client:
                if isinstance(message, AgentStdout) and message.seq in (1, 50):
                    await asyncio.sleep(0.2)
                if isinstance(message, AgentStdout) and message.seq == 299:
                    break

    run(test())


def test_missing_events_are_never_papered_over() -> None:
    async def skips(peer: Peer) -> None:
        await peer.greet(sessions=[metadata("a", 1)])
        await peer.send(out("a", 2), out("a", 4))
        await peer.stay()

    async def test() -> None:
        async with server(skips) as (url, peers), reconnecting(url) as client:
            with pytest.raises(MissingEvents):
                async for _ in client:
                    pass
            assert client.state.name == "closed"
        assert len(peers) == 1

    run(test())


def test_waiting_for_the_next_message_can_be_given_up_and_taken_up_again() -> None:
    go = asyncio.Event

    async def test() -> None:
        ready = go()

        async def later(peer: Peer) -> None:
            await peer.greet()
            await ready.wait()
            await peer.send(out("a", 1))
            await peer.stay()

        async with server(later) as (url, _), connect(url, token=TOKEN) as client:
            for _ in range(3):
                await anext(client)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await anext(client)
            ready.set()
            assert isinstance(await anext(client), AgentStdout)

    run(test())


def test_closing_ends_the_iteration_also_in_the_middle_of_reconnecting() -> None:
    async def drop(peer: Peer) -> None:
        await peer.greet()
        peer.socket.transport.abort()

    async def test() -> None:
        async with server(drop) as (url, peers):
            client = connect(url, token=TOKEN, reconnect=True, backoff=lambda _: 0.05)
            async with client:

                async def leave() -> None:
                    while client.state.name != "reconnecting":
                        await asyncio.sleep(0)
                    await client.close()

                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(leave())
                    async for _ in client:
                        pass
            await client.close()
        assert len(peers) == 1

    run(test())


def test_backoff_is_full_jitter_with_a_ceiling() -> None:
    for attempt, ceiling in [(0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (10_000, 30.0)]:
        waits = [full_jitter(attempt) for _ in range(300)]
        assert 0 <= min(waits) < ceiling / 4
        assert ceiling * 3 / 4 < max(waits) <= ceiling


# --- how things stand --------------------------------------------------------------------------------------------


def test_it_says_plainly_how_things_stand() -> None:
    body = {"toolName": "bash", "title": "run make", "input": {}, "display": "make", "flags": [], "digest": "d",
            "expiresAt": ""}  # fmt: skip
    event = {"id": "t", "sessionId": "a"}

    async def story(peer: Peer) -> None:
        await peer.greet(sessions=[metadata("a", 0)])
        await peer.send(
            {"type": "prompt", **event, "seq": 1, "prompt": "!make", "by": "me"},
            {"type": "permission_request", **event, "seq": 2, "permissionRequestId": "p", "request": body},
            {
                "type": "permission_resolved",
                **event,
                "seq": 3,
                "permissionRequestId": "p",
                "outcome": "allow",
                "by": "me",
            },
            {"type": "error", "id": "t", "message": "the agent exited", "code": "internal"},
            {"type": "terminal_state", **event, "seq": 4, "exitCode": 1, "stopReason": "failed"},
            {
                "type": "owner_changed",
                "ownerEpoch": 2,
                "owner": {"connectionId": "c2", "label": "Ann"},
                "why": "handover",
            },
            {"type": "role", "role": "follower"},
            {"type": "prompt", **event, "seq": 5, "prompt": "x", "by": "Ann"},
        )
        await peer.stay()

    async def test() -> None:
        states: list[State] = []
        async with server(story) as (url, _), connect(url, token=TOKEN, on_state=states.append) as client:
            async for message in client:
                if getattr(message, "seq", None) == 5:
                    break
        assert [str(state) for state in states] == [
            "live: owner",
            "waiting for a human to answer: run make",
            "live: owner",
            "the agent failed: the agent exited",
            "watching; the owner is elsewhere: Ann",
            "closed: left",
        ]

    run(test())


# --- the real server ---------------------------------------------------------------------------------------------


def test_with_the_real_server_a_cut_owner_is_the_owner_again_and_misses_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        settings = Settings(owner_grace=PATIENCE)
        async with (
            Server(tmp_path, CommandAgent(), settings) as real,
            reconnecting(real.url, token=real.token) as owner,
        ):
            assert owner.role == "owner"
            turn = await owner.prompt("!printf 'one\\ntwo\\n'")
            seqs: list[int | None] = []
            output = ""
            cut = False
            async for message in owner:
                if (seq := getattr(message, "seq", None)) is not None and not getattr(message, "pending", False):
                    seqs.append(seq)
                if isinstance(message, PermissionRequest):
                    if not cut:
                        cut = True
                        assert owner._socket is not None
                        owner._socket.transport.abort()
                    elif message.pending:
                        assert owner.role == "owner"
                        await owner.decide(message, "allow")
                if isinstance(message, AgentStdout):
                    output += message.chunk
                if isinstance(message, TerminalState):
                    assert (message.id, message.exit_code) == (turn, 0)
                    break
        assert output == "one\ntwo\n"
        assert seqs == list(range(1, len(seqs) + 1))

    run(test())


@pytest.mark.parametrize("seed", range(4))
def test_with_the_real_server_a_follower_that_is_cut_again_and_again_misses_nothing(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    sessions, lines = 4, 40
    cuts = 0

    async def drive(owner: Client) -> None:
        for number in range(sessions):
            await owner.prompt(f"!for i in $(seq {lines}); do echo {number}-$i; sleep 0.002; done")
        ended = 0
        async for message in owner:
            if isinstance(message, PermissionRequest):
                await owner.decide(message, "allow")
            ended += isinstance(message, TerminalState)
            if ended == sessions:
                return

    async def watch(follower: Client) -> dict[str, list[Any]]:
        nonlocal cuts
        seen: dict[str, list[Any]] = {}
        async for message in follower:
            if isinstance(message, Event) and not getattr(message, "pending", False):
                seen.setdefault(message.session_id, []).append(message)
            if sum(isinstance(events[-1], TerminalState) for events in seen.values()) == sessions:
                return seen
            if random.random() < 0.1 and follower._socket is not None:
                follower._socket.transport.abort()
                cuts += 1
        raise AssertionError

    async def test() -> None:
        settings = Settings(permission_timeout=PATIENCE)
        async with Server(tmp_path, CommandAgent(), settings) as real, connect(real.url, token=real.token) as owner:
            async with reconnecting(real.url, token=real.token) as follower, asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch(follower))
                tasks.create_task(drive(owner))
            assert follower.role == "follower"
        outputs = set()
        for events in watching.result().values():
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert cuts > 3
            outputs.add("".join(event.chunk for event in events if isinstance(event, AgentStdout)))
        assert outputs == {"".join(f"{number}-{i + 1}\n" for i in range(lines)) for number in range(sessions)}

    run(test())


def quick_turns(directory: Path) -> tuple[int, int]:
    """A script that runs a turn as soon as the one before has ended, faster than the server allows: how many turns
    ended, and how many errors it was shown."""
    ended = errors = 0

    async def script() -> None:
        nonlocal ended, errors
        limits = msgspec.structs.replace(LIMITS_OF_A_SERVER, owner_messages_per_second=10)
        async with (
            Server(directory, CommandAgent(), Settings(limits=limits)) as server,
            connect(server.url, token=server.token) as client,
        ):
            await client.prompt("help")
            async for message in client:
                if isinstance(message, Error):
                    errors += 1
                    return
                if isinstance(message, TerminalState):
                    ended += 1
                    if ended == 25:
                        return
                    await client.prompt("help")

    run(script())
    return ended, errors


def test_a_script_of_quick_turns_runs_as_fast_as_it_may(tmp_path: Path) -> None:
    assert quick_turns(tmp_path) == (25, 0)


def test_without_sending_again_it_would_end_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(View, "to_repeat", lambda self, error: None)
    ended, errors = quick_turns(tmp_path)
    assert ended < 25 and errors == 1
