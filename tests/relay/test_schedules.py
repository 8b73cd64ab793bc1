"""The judge over relays: some random schedules, of which `python -m tests.relay` plays any number; and its control."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nats
import pytest
from tests.faults.followers import Follower, Verdict
from tests.faults.proxy import Proxy
from tests.relay.engine import NatsServer, needs_engine
from tests.relay.scene import host, relay, until
from tests.relay.schedules import play

from myagent.relay.copy import Copy
from myagent.relay.engine import Kept
from myagent.relay.subjects import TAKEN

pytestmark = needs_engine


@pytest.mark.parametrize("seed", [0, 7])
def test_nothing_is_lost_doubled_or_reordered(tmp_path: Path, seed: int) -> None:
    outcome = asyncio.run(play(seed, tmp_path / "play"))
    assert outcome.right, outcome
    assert outcome.verdict.events > 0 and outcome.done


@pytest.mark.parametrize("broken", [False, True])
def test_the_judge_finds_a_copy_that_loses_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """The control: one event of the stream is left out, and what follows takes its number."""
    take = Copy.take

    async def forgetful(self: Copy, messages: list[Kept]) -> None:
        await take(self, [each for each in messages if b'"seq":7}' not in each.data or not broken])

    monkeypatch.setattr(Copy, "take", forgetful)

    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats_server,
            host(tmp_path / "host", nats_server.url()) as hosted,
            relay(tmp_path / "copies", nats_server.url()) as shown,
            Proxy(shown.port) as proxy,
        ):
            await until(lambda: "team/web" in shown.shown)
            follower = Follower("follower", proxy, lambda: hosted.server.token, lambda: None)
            follower.path = "team/web/"
            watching = asyncio.create_task(follower.live())
            session = await hosted.turn(lines=30, pace=0.001)
            head = hosted.server.host.fanout.window.heads[session]
            await until(lambda: follower.has({session: head}))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            log = {session: await hosted.server.host.log.read_session(session, 0, max_bytes=1 << 40)}
            assert len(log[session]) > 7
            verdict = follower.judge(log)
            assert (verdict == Verdict(events=len(log[session])) and not follower.breaks) is not broken

    asyncio.run(script())


def test_a_session_is_told_before_its_first_event(tmp_path: Path) -> None:
    """Else whoever joins a relay in between has missed events of a session that nobody listed."""

    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as server, host(tmp_path / "host", server.url()) as hosted:
            await until(lambda: hosted.publisher.publishing)
            heard: list[str] = []

            async def hear(message: nats.aio.msg.Msg) -> None:
                heard.append(message.subject)

            client = await nats.connect(server.url())
            await client.subscribe("myagent.team/web.>", cb=hear)
            await client.flush()
            for number in range(3):
                session = await hosted.turn(lines=1, id=f"t{number}")
                await until(lambda: hosted.publisher.behind == 0)
                await client.flush()
                about = [each for each in heard if each.endswith(session)]
                assert about[:2] == [f"myagent.team/web.state.session.{session}", f"myagent.team/web.events.{session}"]
            assert not any(each.endswith(f".events.{TAKEN}") for each in heard)
            await client.close()

    asyncio.run(script())
