"""A relay shows what a host publishes: the same bytes, to whom the host lets in, and nothing can be changed there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.faults.serving import script as prompt
from tests.relay.engine import NatsServer, needs_engine
from tests.relay.scene import bearer, events, follow, get, host, next_of, relay, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from myagent.core.codec import encode
from myagent.core.messages import AgentStdout, SessionId
from myagent.eventlog import Draft, Stored, Unit
from myagent.relay.relay import Relay

pytestmark = needs_engine


def has(relay: Relay, session: str, head: int, name: str = "team/web") -> bool:
    """Whether a relay shows a session up to an event."""
    mirror = relay.shown[name].host if name in relay.shown else None
    return mirror is not None and session in mirror.sessions and mirror.fanout.window.heads.get(session, 0) >= head


def test_a_relay_shows_the_bytes_of_its_host(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            token = hosted.server.token
            session = await hosted.turn(lines=300, size=200)
            head = hosted.server.host.fanout.window.heads[session]
            await until(lambda: has(shown, session, head))
            url = f"{shown.url}/team/web"
            direct = await events(hosted.server.url, token, session, upto=head)
            assert await events(url, token, session, upto=head) == direct
            assert (await get(url, token, f"/sessions/{session}/events"))[1].splitlines() == direct
            async with follow(url, token) as live:
                await next_of(live, "welcome")
                await hosted.turn(session=session, id="t2", lines=3)
                prompt = await next_of(live, "prompt")
                assert prompt["seq"] == head + 1
                assert (await next_of(live, "terminal_state"))["id"] == "t2"
            (same,) = json.loads((await get(hosted.server.url, token, "/sessions"))[1])["sessions"]
            mirror = shown.shown["team/web"].host
            await until(lambda: mirror.sessions[session].last_request_id == "t2")  # it comes after the events
            (listed,) = json.loads((await get(url, token, "/sessions"))[1])["sessions"]
            assert listed == same

    asyncio.run(script())


def test_the_agents_updates_come_along(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            log = hosted.server.host.log
            session = await hosted.turn(lines=2)
            stored: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
            body = encode(AgentStdout(id="t", session_id=SessionId(session), chunk="x"))
            log.write(Unit(stored.set_result, events=[Draft(session, body, b'{"sessionUpdate":"plan","n":1}')]))
            (last,) = await stored
            hosted.server.host.store.publish(last)
            await until(lambda: has(shown, session, last.seq))
            path = f"/sessions/{session}/events?wants=updates"
            told = (await get(f"{shown.url}/team/web", hosted.server.token, path))[1]
            assert told == (await get(hosted.server.url, hosted.server.token, path))[1]
            assert b'"update":{"sessionUpdate":"plan","n":1}}' in told.splitlines()[-1]

    asyncio.run(script())


def test_the_host_judges_who_comes_in_and_ends_it(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            first, second = await hosted.turn(lines=1, id="a"), await hosted.turn(lines=1, id="b")
            await until(lambda: "team/web" in shown.shown and len(shown.shown["team/web"].host.sessions) == 2)
            url = f"{shown.url}/team/web"
            for wrong in ("x" * 43, "myagent_inv_aaaaaaaa_" + "b" * 26 + "_00000000"):
                assert (await get(url, wrong, "/sessions"))[0] == 401
                with pytest.raises(InvalidStatus, match="401"):
                    async with follow(url, wrong):
                        pass
            invite = hosted.server.invite(session_id=first)
            listed = json.loads((await get(url, invite.token, "/sessions"))[1])["sessions"]
            assert [each["sessionId"] for each in listed] == [first]
            assert (await get(url, invite.token, f"/sessions/{second}/events"))[0] == 404
            async with follow(url, invite.token) as guest, follow(url, hosted.server.token) as owner:
                assert (await next_of(guest, "welcome"))["scope"] == "follower"
                assert (await next_of(owner, "welcome"))["may"] == "drive"
                hosted.server.revoke(invite.id)
                with pytest.raises(ConnectionClosed) as closed:
                    await next_of(guest, "nothing")
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
                await owner.send('{"type":"ping","id":"p"}')
                await next_of(owner, "pong")
            assert (await get(url, invite.token, "/sessions"))[0] == 401

    asyncio.run(script())


def test_an_invite_for_one_use_is_good_once_wherever_it_is_shown(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "one", nats.url()) as one,
            relay(tmp_path / "two", nats.url()) as two,
        ):
            await hosted.turn(lines=1)
            await until(lambda: "team/web" in one.shown and "team/web" in two.shown)
            invite = hosted.server.invite(uses=1)
            async with follow(f"{one.url}/team/web", invite.token) as guest:
                await next_of(guest, "welcome")
                for url in (f"{one.url}/team/web", f"{two.url}/team/web", hosted.server.url):
                    with pytest.raises(InvalidStatus, match="401"):
                        async with follow(url, invite.token):
                            pass
                await guest.send('{"type":"ping","id":"p"}')
                await next_of(guest, "pong")

    asyncio.run(script())


def test_nothing_can_be_changed_through_a_relay_that_only_shows(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url(), watch_only=True) as shown,
        ):
            session = await hosted.turn(lines=1)
            await until(lambda: has(shown, session, 1))
            invite = hosted.server.invite()
            messages = [
                {"type": "user_message", "id": "m", "prompt": "{}", "sessionId": session},
                {"type": "permission_decision", "id": "m", "permissionRequestId": "x", "decision": {"kind": "allow"}},
                {"type": "cancel", "id": "m", "sessionId": session},
                {"type": "handover", "id": "m", "to": "c_1"},
                *({"type": kind, "id": "m"} for kind in ("claim", "release", "who")),
            ]
            for token, code in ((hosted.server.token, {"not_allowed"}), (invite.token, {"not_owner", "not_allowed"})):
                async with follow(f"{shown.url}/team/web", token) as socket:
                    for message in messages:
                        await socket.send(json.dumps(message))
                        assert (await next_of(socket, "error"))["code"] in code, message
            assert sum(hosted.agent.ran.values()) == 1

    asyncio.run(script())


def is_open(relay: Relay, session: str) -> bool:
    """Whether a relay knows of an open request."""
    return bool(relay.shown["team/web"].host.sessions[SessionId(session)].open)


def test_an_open_request_is_shown_to_whoever_comes_until_it_is_answered(tmp_path: Path) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as nats, host(tmp_path / "host", nats.url()) as hosted:
            token = hosted.server.token
            async with connect(hosted.server.url, additional_headers=bearer(token)) as owner:
                await owner.send(json.dumps({"type": "user_message", "id": "q", "prompt": prompt(ask=True)}))
                asked = await next_of(owner, "permission_request")
                for _ in range(2):  # the second relay has it from its own copy
                    async with relay(tmp_path / "copies", nats.url()) as shown:
                        await until(lambda: has(shown, asked["sessionId"], asked["seq"]))
                        await until(lambda: is_open(shown, asked["sessionId"]))
                        async with follow(f"{shown.url}/team/web", token) as late:
                            told = await next_of(late, "permission_request")
                            assert told == {**asked, "pending": True}
                async with relay(tmp_path / "copies", nats.url()) as shown:
                    decision = {"type": "permission_decision", "id": "d", "decision": {"kind": "allow"}}
                    await owner.send(json.dumps({**decision, "permissionRequestId": asked["permissionRequestId"]}))
                    await next_of(owner, "terminal_state")
                    mirror = shown.shown["team/web"].host
                    heads = hosted.server.host.fanout.window.heads
                    await until(lambda: all(has(shown, session, head) for session, head in heads.items()))
                    await until(lambda: not any(each.open for each in mirror.sessions.values()))
                    async with follow(f"{shown.url}/team/web", token) as later:
                        await later.send('{"type":"ping","id":"p"}')
                        seen = [json.loads(await later.recv())["type"] for _ in range(5)]
                        assert "permission_request" not in seen

    asyncio.run(script())


def test_metrics_say_how_far_behind_each_side_is(tmp_path: Path) -> None:
    async def told(url: str, token: str) -> dict[str, float]:
        lines = (await get(url, token, "/metrics"))[1].decode().splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if line and not line.startswith("#")}

    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            token = hosted.server.token
            session = await hosted.turn(lines=20)
            head = hosted.server.host.fanout.window.heads[session]
            await until(lambda: has(shown, session, head) and hosted.publisher.behind == 0)
            direct, relayed = await told(hosted.server.url, token), await told(f"{shown.url}/team/web", token)
            assert (direct["myagent_published"], direct["myagent_publish_lag_events"]) == (1, 0)
            assert (relayed["myagent_host_online"], relayed["myagent_relay_lag_events"]) == (1, 0)
            assert relayed["myagent_sessions"] == 1
            nats.kill()
            await hosted.turn(session=session, id="t2", lines=20)
            direct = await told(hosted.server.url, token)
            more = hosted.server.host.fanout.window.heads[session] - head
            assert direct["myagent_publish_lag_events"] == more and direct["myagent_publish_lag_seconds"] > 0
            await until(lambda: shown.shown["team/web"].host.offline_since)
            assert (await told(f"{shown.url}/team/web", token))["myagent_host_online"] == 0

    asyncio.run(script())
