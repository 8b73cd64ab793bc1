"""Being called: a scripted sink gets exactly the calls that are due, and nothing in them that was not asked for."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from puppet import Puppet  # type: ignore[import-not-found]

from myagent.client import connect
from myagent.core.messages import Activity, PermissionRequest, SessionId, TerminalState
from myagent.host import notifications
from myagent.host.notifications import Caller, Notifications, NotifyUnusable
from myagent.server import Server, Settings

PATIENCE = 10.0


class Sink:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def __call__(self, title: str, text: str) -> None:
        self.calls.append((title, text))
        self._changed.set()

    async def called(self, count: int) -> list[str]:
        async with asyncio.timeout(PATIENCE):
            while len(self.calls) < count:
                self._changed.clear()
                await self._changed.wait()
        return [title.removeprefix("myagent: ") for title, _ in self.calls]


class Shared:
    """A server with a played agent whose calls go to a sink."""

    def __init__(self, directory: Path, *, after: float, details: bool = False, **settings: Any) -> None:
        self.sink, self.puppet = Sink(), Puppet()
        self.server = Server(directory, self.puppet, Settings(**settings))
        self.server.host.notifications = Notifications("work", after=after, call=self.sink, details=details)

    def client(self, **options: Any) -> Any:
        return connect(self.server.url, token=self.server.token, **options)


async def until(client: Any, kind: type) -> Any:
    async with asyncio.timeout(PATIENCE):
        async for message in client:
            if isinstance(message, kind):
                return message
    raise AssertionError(f"no {kind.__name__} came")


async def test_a_request_that_waits_is_called_about_once_and_without_details(tmp_path: Path) -> None:
    shared = Shared(tmp_path, after=0.05)
    async with shared.server, shared.client() as client:
        await client.prompt("secret prompt")
        play = await shared.puppet.begun()
        answer = play.ask("secret command", title="secret title")
        request = await until(client, PermissionRequest)
        assert await shared.sink.called(1) == ["a permission request waits"]
        assert "secret" not in str(shared.sink.calls)
        assert request.session_id in shared.sink.calls[0][1]
        assert "work" in shared.sink.calls[0][1]
        await client.decide(request, "allow")
        await answer
        play.end()
        await until(client, TerminalState)
    assert len(shared.sink.calls) == 1


async def test_a_request_that_is_answered_in_time_is_no_call(tmp_path: Path) -> None:
    shared = Shared(tmp_path, after=1000.0)
    async with shared.server, shared.client() as client:
        await client.prompt("go")
        play = await shared.puppet.begun()
        answer = play.ask("make")
        await client.decide(await until(client, PermissionRequest), "deny")
        await answer
        assert shared.server.host.notifications._waiting == {}
        play.end()
        await until(client, TerminalState)
    assert shared.sink.calls == []


async def test_details_are_told_when_asked_for(tmp_path: Path) -> None:
    shared = Shared(tmp_path, after=0.0, details=True)
    async with shared.server, shared.client() as client:
        await client.prompt("go")
        play = await shared.puppet.begun()
        answer = play.ask("make", title="Run \u202emake")
        await shared.sink.called(1)
        assert r"It asks: Run \u{202e}make" in shared.sink.calls[0][1]
        answer.cancel()
        play.end()


@pytest.mark.parametrize("stays", [True, False])
async def test_a_long_turn_that_ends_without_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    monkeypatch.setattr(notifications, "LONG_TURN", 0.0)
    shared = Shared(tmp_path, after=1000.0)
    async with shared.server, shared.client(role="follower") as follower:
        owner = shared.client()
        async with owner:
            await owner.prompt("go")
            play = await shared.puppet.begun()
            if stays:
                play.end()
                await until(follower, TerminalState)
        if not stays:
            play.end()
            await until(follower, TerminalState)
            assert await shared.sink.called(1) == ["a turn has ended"]
    assert len(shared.sink.calls) == (0 if stays else 1)


async def test_an_owner_who_is_lost_and_one_who_comes_back_or_leaves(tmp_path: Path) -> None:
    shared = Shared(tmp_path, after=1000.0, owner_grace=0.2)
    async with shared.server:
        async with shared.client():
            pass  # left, and said so
        async with shared.client(reconnect=True, backoff=lambda _: 0.0) as client:
            await until_greeted(client)
            client._socket.transport.abort()
            await until_greeted(client)
            assert client.role == "owner"
            assert shared.sink.calls == []
        async with shared.client() as client:
            await until_greeted(client)
            client._socket.transport.abort()
            assert await shared.sink.called(1) == ["the owner is lost"]
    assert len(shared.sink.calls) == 1


async def until_greeted(client: Any) -> None:
    """Wait until the server has had our `hello`, without which nobody is waited for."""
    seen = client.connection_id
    await client.ping()
    async with asyncio.timeout(PATIENCE):
        async for message in client:
            if type(message).__name__ == "Pong" or client.connection_id != seen:
                return


class Web:
    """An HTTP server that notes what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        posted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200 if "refused" not in self.path else 500)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


async def test_apprise_sends_it(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("apprise")
    caller = Caller([f"json://127.0.0.1:{web.port}/here"])
    caller("title", "text")
    await caller.close()
    assert [(each["title"], each["message"]) for each in web.posted] == [("title", "text")]
    refused = Caller([f"json://user:password@127.0.0.1:{web.port}/refused"])
    refused("title", "text")
    await refused.close()
    assert "was not taken" in caplog.text
    assert "password" not in caplog.text


def test_an_address_that_means_nothing_is_refused_and_not_repeated() -> None:
    pytest.importorskip("apprise")
    with pytest.raises(NotifyUnusable) as refused:
        Caller(["nothing://secret"])
    assert "secret" not in str(refused.value)


def test_serve_calls(web: Web, tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    from tests.cli.conftest import Serving

    serving = Serving(tmp_path, "--notify", f"json://127.0.0.1:{web.port}/", "--notify-after", "0")
    try:
        asyncio.run(_ask(serving.url, json.loads((tmp_path / ".myagent/remote/auth.json").read_text())["token"], web))
    finally:
        serving.stop()
    assert [each["title"] for each in web.posted] == ["myagent: a permission request waits"]
    assert "made" not in str(web.posted)


async def _ask(url: str, token: str, web: Web) -> None:
    async with asyncio.timeout(PATIENCE), connect(url, token=token) as client:
        await client.prompt("!touch made")
        request = await until(client, PermissionRequest)
        while not web.posted:
            await asyncio.sleep(0.02)
        await client.decide(request, "deny")
        await until(client, TerminalState)


async def _own_turn(*, owned: bool) -> list[tuple[str, str]]:
    sink = Sink()
    calls = Notifications("/w", after=60.0, call=sink)
    calls.owner(owned=owned, lost=False)
    calls.event(Activity(id="own", session_id=SessionId("s"), origin="agent"))
    calls.event(TerminalState(id="own", session_id=SessionId("s"), exit_code=0, stop_reason="end_turn"))
    calls.close()
    return sink.calls


def test_an_own_turn_that_ends_unowned_is_told_however_short() -> None:
    assert asyncio.run(_own_turn(owned=True)) == []
    told = asyncio.run(_own_turn(owned=False))
    assert [title for title, _ in told] == ["myagent: a turn has ended unowned"]
