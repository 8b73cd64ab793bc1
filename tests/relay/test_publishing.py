"""A host publishes everything, in order and once, whatever is killed; and one host alone has a name."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from tests.relay.engine import NatsServer, needs_engine
from tests.relay.scene import events as followed
from tests.relay.scene import follow, host, next_of, relay, until
from tests.relay.test_relay import has

from myagent.relay.ending import end
from myagent.relay.engine import Engine, Fenced
from myagent.relay.lease import Lease
from myagent.relay.subjects import EVENTS, BadName, check_name, events, name_of
from myagent.server import Settings

pytestmark = needs_engine


@pytest.mark.parametrize("name", ["team/web", "a", "a-b_c/0", "x" * 64])
def test_names_that_can_be(name: str) -> None:
    assert check_name(name) == name
    assert name_of(events(name, "s")) == name_of(f"$KV.MYAGENT_NAMES.{name}") == name


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "a//b", "A", "a.b", "a*", ">", "a b", "../x", "-a", "a/sessions", "ticket", "x" * 65, "é"]
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)
    assert name_of(f"myagent.{name}.events.s") in ("", "a", "")


def test_the_engine_is_killed_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            session = await hosted.turn(lines=50)
            await until(lambda: has(shown, session, 51))
            async with follow(f"{shown.url}/team/web", hosted.server.token) as live:
                for number in range(3):
                    turn = asyncio.create_task(hosted.turn(session=session, id=f"k{number}", lines=200, pace=0.01))
                    await next_of(live, "prompt")
                    nats.kill()
                    await turn  # the session never waits for the engine
                    await nats.start()
                    await next_of(live, "terminal_state")
            head = hosted.server.host.fanout.window.heads[session]
            assert hosted.publisher.behind == 0
            direct = await followed(hosted.server.url, hosted.server.token, session, upto=head)
            assert await followed(f"{shown.url}/team/web", hosted.server.token, session, upto=head) == direct

    asyncio.run(script())


def test_a_host_that_was_away_goes_on_where_the_stream_ends(tmp_path: Path) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as nats, relay(tmp_path / "copies", nats.url()) as shown:
            async with host(tmp_path / "host", nats.url()) as hosted:
                session = await hosted.turn(lines=10)
                await until(lambda: has(shown, session, 2))
            mirror = shown.shown["team/web"].host
            await until(lambda: mirror.offline_since is not None)
            nats.kill()
            async with host(tmp_path / "host", nats.url()) as hosted:  # it cannot publish; it works all the same
                await hosted.turn(session=session, id="t2", lines=10)
            await nats.start()
            async with host(tmp_path / "host", nats.url()) as hosted:
                head = hosted.server.host.fanout.window.heads[session]
                await until(lambda: has(shown, session, head) and mirror.offline_since is None)
                direct = await followed(hosted.server.url, hosted.server.token, session, upto=head)
                assert await followed(f"{shown.url}/team/web", hosted.server.token, session, upto=head) == direct

    asyncio.run(script())


def test_a_relay_goes_on_from_its_copy_and_makes_a_new_one_from_nothing(tmp_path: Path) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as nats, host(tmp_path / "host", nats.url()) as hosted:
            session = await hosted.turn(lines=50)
            async with relay(tmp_path / "one", nats.url()) as shown:
                await until(lambda: has(shown, session, 2))
            await hosted.turn(session=session, id="t2", lines=50)
            head = hosted.server.host.fanout.window.heads[session]
            direct = await followed(hosted.server.url, hosted.server.token, session, upto=head)
            for directory in ("one", "two"):
                async with relay(tmp_path / directory, nats.url()) as shown:
                    await until(lambda: has(shown, session, head))
                    url = f"{shown.url}/team/web"
                    assert await followed(url, hosted.server.token, session, upto=head) == direct

    asyncio.run(script())


def test_an_engine_that_lost_everything_gets_it_again_and_relays_go_on(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            session = await hosted.turn(lines=100)
            await until(lambda: has(shown, session, 2) and hosted.publisher.behind == 0)
            nats.kill()
            shutil.rmtree(tmp_path / "nats" / "jetstream")
            await nats.start()
            await hosted.turn(session=session, id="t2", lines=10)
            head = hosted.server.host.fanout.window.heads[session]
            await until(lambda: has(shown, session, head))
            direct = await followed(hosted.server.url, hosted.server.token, session, upto=head)
            assert await followed(f"{shown.url}/team/web", hosted.server.token, session, upto=head) == direct

    asyncio.run(script())


def test_what_nobody_has_any_more_is_told_as_a_gap(tmp_path: Path) -> None:
    """The stream lost its beginning, and the host's retention took what it had not published yet."""

    async def script() -> None:
        settings = Settings(retain_events=5)
        async with NatsServer(tmp_path / "nats") as nats:
            async with host(tmp_path / "host", nats.url()) as hosted:
                session = await hosted.turn(lines=30)
                await until(lambda: hosted.publisher.behind == 0)
                await hosted.publisher._engine.api(f"STREAM.PURGE.{EVENTS}", {"filter": events("*"), "keep": 1})
                published = hosted.server.host.fanout.window.heads[session]
            nats.kill()
            async with host(tmp_path / "host", nats.url(), settings=settings) as hosted:
                for number in range(20):
                    await hosted.turn(session=session, id=f"n{number}", lines=20)
                head = hosted.server.host.fanout.window.heads[session]
                await hosted.server.host.log.retain(5)
                await nats.start()
                async with relay(tmp_path / "copies", nats.url()) as shown:
                    await until(lambda: has(shown, session, head))
                    async with follow(f"{shown.url}/team/web", hosted.server.token, session=session, after=0) as socket:
                        first = await next_of(socket, "gap")
                        second = await next_of(socket, "gap")
                    assert (first["from"], first["to"]) == (1, published - 1)
                    assert (second["from"], second["to"]) == (published + 1, head - 5)

    asyncio.run(script())


def test_one_host_has_a_name_and_the_other_goes_on_without(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            relay(tmp_path / "copies", nats.url()) as shown,
            host(tmp_path / "one", nats.url()) as one,
        ):
            await until(lambda: one.publisher.publishing)
            async with host(tmp_path / "two", nats.url(), wait=True) as two:
                await until(lambda: two.said)
                assert two.said == ["the name team/web is another host's: this one goes on unpublished"]
                mine, other = await one.turn(lines=1), await two.turn(lines=1)  # both work
                await until(lambda: has(shown, mine, 2))
                assert other not in shown.shown["team/web"].host.sessions
                await one.server.close()
                await until(lambda: has(shown, other, 2))
                assert two.said[1:] == ["published as team/web"]

    asyncio.run(script())


def test_what_a_host_sends_after_another_has_its_name_is_refused(tmp_path: Path) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as nats:
            late, new = Engine([nats.url()], name="late"), Engine([nats.url()], name="new")
            await late.connect()
            await new.connect()
            await late.ensure_streams(1.0, 1)
            number = await late.append("a", [(events("a", "0"), b""), (events("a", "s"), b"1")], last=0)
            taken = await new.append("a", [(events("a", "0"), b"")], last=number)
            for messages in ([(events("a", "s"), b"2")], [(events("a", "t"), b"1"), (events("a", "s"), b"2")]):
                with pytest.raises(Fenced):
                    await late.append("a", messages, last=number)
            kept = await new.last(events("a"))
            assert kept is not None and kept.number == taken
            # The control: with no expectation the same is stored.
            assert await late.keep(events("a", "s"), b"2") > taken
            await late.close()
            await new.close()

    asyncio.run(script())


def test_two_hosts_race_for_a_name_and_one_has_it(tmp_path: Path) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as nats:
            engines = [Engine([nats.url()], name=f"racer {number}") for number in range(2)]
            for engine in engines:
                await engine.connect()
            await engines[0].ensure_streams(30.0, 1)
            won = [0, 0]
            for number in range(200):
                leases = [Lease(engine, f"n{number}", seconds=30.0) for engine in engines]
                order = leases if number % 2 else leases[::-1]
                taken = await asyncio.gather(*(each.take() for each in order))
                assert sorted(taken) == [False, True] and sum(each.held for each in leases) == 1
                winner = leases.index(next(each for each in leases if each.held))
                won[winner] += 1
                assert await leases[winner].take() and not await leases[1 - winner].take()
                await leases[winner].let_go()
                assert await leases[1 - winner].take() and not await leases[winner].take()
            assert all(won), won
            for engine in engines:
                await engine.close()

    asyncio.run(script())


def test_a_lease_that_is_not_renewed_runs_out(tmp_path: Path) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as nats:
            engine = Engine([nats.url()], name="both")
            await engine.connect()
            await engine.ensure_streams(1.0, 1)
            dead, next_one = Lease(engine, "a", seconds=1.0), Lease(engine, "a", seconds=1.0)
            assert await dead.take()
            while not await next_one.take():
                await asyncio.sleep(0.05)
            assert not dead.held  # it knew before anybody could have the name
            assert not await dead.take()
            await engine.close()

    asyncio.run(script())


def test_a_line_that_is_no_event_is_left_out(tmp_path: Path) -> None:
    """Whoever may publish could write anything; a relay shows what is an event of its session, and goes on."""

    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            session = await hosted.turn(lines=1)
            await until(lambda: has(shown, session, 2))
            head = hosted.server.host.fanout.window.heads[session]
            engine = Engine([nats.url()], name="stray")
            await engine.connect()
            for data in (b"", b"{}", b"\xff" * 50, json.dumps({"sessionId": "other", "seq": head + 1}).encode()):
                await engine.keep(events("team/web", session), data)
            await engine.close()
            await hosted.turn(session=session, id="t2", lines=1)
            head = hosted.server.host.fanout.window.heads[session]
            await until(lambda: has(shown, session, head))
            direct = await followed(hosted.server.url, hosted.server.token, session, upto=head)
            assert await followed(f"{shown.url}/team/web", hosted.server.token, session, upto=head) == direct

    asyncio.run(script())


def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    async def script() -> None:
        async def stubborn() -> None:
            for _ in range(2):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass  # as `wait_for` of Python 3.11 does, now and then
            await asyncio.Event().wait()

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await end(task, None)
        assert task.cancelled()

    asyncio.run(script())
