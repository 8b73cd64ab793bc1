"""The event stream: dense, the same for everybody, live or later, by WebSocket or by HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import websockets
from puppet import Puppet
from wire import Client, Scene, scene

pytestmark = pytest.mark.usefixtures("quiet_log")

BYPASS = {"permissionMode": "bypassPermissions"}


async def told(here: Scene, agent: Puppet, owner: Client, lines: int) -> str:
    """A session with a turn of so many lines, ended; its id."""
    message_id = await owner.send("user_message", prompt="go")
    play = await agent.begun()
    for number in range(lines):
        await play.say(f"line {number}\n")
        await owner.until("agent_stdout")
    play.end()
    return str((await owner.until("terminal_state", id=message_id))["sessionId"])


async def test_long_output_is_cut_between_characters_into_frames_of_64_kib(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="go")
        text = "aé€😀\n\x1b\u202e" * 30_000
        play = await agent.begun()
        await play.say(text)
        play.end()
        await owner.until("terminal_state")
        chunks = [message["chunk"] for message in owner.of("agent_stdout")]
        assert "".join(chunks) == text
        assert len(chunks) > 4
        sizes = [len(event.encode()) + 4 for event in here.known.values()]  # the frame's header takes 4 bytes
        assert max(sizes) <= 64 << 10


async def test_utf8_from_a_process_is_cut_between_characters(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        await here.turn(owner, "!printf '\\303'; sleep 0.05; printf '\\251\\377'", **BYPASS)
        assert "".join(message["chunk"] for message in owner.of("agent_stdout")) == "é\ufffd"


async def test_resume_without_after_seq_is_ack_and_metadata_as_in_version_1(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await told(here, agent, owner, 3)
        late = await here.join()
        await late.send("resume", id="r1", sessionId=session)
        answers = [message for message in await late.settle() if message["type"] != "presence"]
        assert [message["type"] for message in answers] == ["ack", "session_metadata"]
        assert answers[0] == {"type": "ack", "id": "r1", "sessionId": session, "duplicate": False}
        assert answers[1]["session"]["head"] == 5


@pytest.mark.parametrize("after", [0, 2, 4, 5])
async def test_resume_with_after_seq_replays_from_there_and_says_when_it_is_done(tmp_path: Path, after: int) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await told(here, agent, owner, 3)
        late = await here.join("?role=follower")
        await late.acked(await late.send("resume", id="r1", sessionId=session, afterSeq=after))
        assert (await late.next())["type"] == "session_metadata"
        replayed = await late.until("replayed")
        assert replayed == {"type": "replayed", "id": "r1", "sessionId": session, "head": 5}
        seqs = [message["seq"] for message in late.messages if "seq" in message]
        assert seqs == list(range(after + 1, 6))


async def test_a_replay_goes_over_into_what_is_live_without_gap_or_double(tmp_path: Path) -> None:
    """`Run` in wire.py holds every connection to it; here the replays overlap with what is said meanwhile."""
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        followers = [await here.join() for _ in range(3)]
        session = (await owner.acked(await owner.send("user_message", prompt="go")))["sessionId"]
        play = await agent.begun()
        for number in range(200):
            await play.say(f"line {number}\n")
            if number % 40 == 20:
                for follower in followers:
                    await follower.send("resume", sessionId=session, afterSeq=0)
                late = await here.join(f"?session={session}&after=0")
                followers.append(late)
        play.end()
        end = await owner.until("terminal_state")
        for follower in followers:
            await follower.until("terminal_state")
            await follower.settle()
            assert follower.run.seen[session] == end["seq"]


async def test_a_connection_of_one_session_starts_after_an_event_and_sees_no_other(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session, other = await told(here, agent, owner, 3), await told(here, agent, owner, 2)
        late = await here.join(f"?session={session}&after=2")
        assert [each["sessionId"] for each in late.welcome["sessions"]] == [session]
        late.run.start(session, 2)
        await told(here, agent, owner, 1)
        await owner.send("user_message", prompt="more", sessionId=session)
        (await agent.begun()).end()
        await late.until("terminal_state", seq=7)
        assert {message["sessionId"] for message in late.messages if "seq" in message} == {session}
        await late.refused(await late.send("resume", sessionId=other), "unknown_session")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?session=remote_20260101000000_00000000", 404),
        ("?session=..%2f", 404),
        ("?session=", 404),
        ("?after=1", 400),
        ("?session={}&after=6", 400),
        ("?session={}&after=-1", 400),
        ("?session={}&after=x", 400),
        ("?session={}&after=1.0", 400),
        ("?session={}&after=99999999999999999999", 400),
    ],
)
async def test_an_impossible_start_is_refused_before_the_upgrade(tmp_path: Path, query: str, status: int) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        session = await told(here, agent, await here.join(), 3)
        with pytest.raises(websockets.InvalidStatus) as refused:
            await here.dial(query.format(session))
        assert refused.value.response.status_code == status


async def test_who_wants_updates_gets_them_and_others_get_the_text_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("text\n")
    async with scene(tmp_path) as here:
        owner, editor = await here.join(), await here.join()
        await editor.acked(await editor.send("hello", client={"name": "editor"}, wants=["updates", "more"]))
        session = (await here.turn(owner, "read note"))["sessionId"]
        await editor.until("terminal_state")
        kinds = [message["update"]["sessionUpdate"] for message in editor.messages if "update" in message]
        assert kinds == ["tool_call", "agent_message_chunk", "tool_call_update"]
        assert not [message for message in owner.messages if "update" in message]
        await editor.send("resume", sessionId=session, afterSeq=0)
        live = [message for message in editor.messages if "seq" in message]
        await editor.until("replayed")
        assert [message for message in editor.messages if "seq" in message] == live + live


async def test_http_pages_hold_the_same_bytes(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = await told(here, agent, owner, 8)
        assert [event["seq"] for event in await here.events(session)] == list(range(1, 11))
        pages = {
            "?after=0": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            "?after=7": [8, 9, 10],
            "?after=10": [],
            "?after=11": [],
            "?after=2&limit=3": [3, 4, 5],
            "?limit=0": [],
            "?before=4": [1, 2, 3],
            "?before=4&limit=2": [2, 3],
            "?before=11&limit=2": [9, 10],
            "?before=999&limit=1": [10],
            "?before=1": [],
            "?before=0": [],
        }
        for query, seqs in pages.items():
            assert [event["seq"] for event in await here.events(session, query)] == seqs, query
        for query in ("?after=1&before=3", "?after=x", "?limit=-1", "?before=1e3"):
            assert (await here.get(f"/sessions/{session}/events{query}"))[0] == 400, query
        assert (await here.get("/sessions/remote_20260101000000_00000000/events"))[0] == 404
        metadata = (await owner.until("session_metadata"))["session"]
        assert json.loads((await here.get("/sessions"))[1]) == {"sessions": [metadata]}


async def test_a_page_has_at_most_a_mebibyte(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        message_id = await owner.send("user_message", prompt="go")
        play = await agent.begun()
        for _ in range(3):
            await play.say("x" * 1_000_000)
        play.end()
        session = (await owner.until("terminal_state", id=message_id))["sessionId"]
        seen, pages = 0, 0
        while events := await here.events(session, f"?after={seen}"):
            assert [event["seq"] for event in events] == list(range(seen + 1, seen + 1 + len(events)))
            assert sum(len(here.known[session, event["seq"]].encode()) for event in events) <= 1 << 20
            seen, pages = events[-1]["seq"], pages + 1
        assert (seen, pages) == (owner.run.seen[session], 3)


async def test_what_retention_took_is_announced_as_a_gap(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent, retain_events=5) as here:
        owner = await here.join()
        session = await told(here, agent, owner, 40)
        late = await here.join(f"?session={session}&after=0")
        late.run.start(session, 0)
        await late.until("terminal_state")
        (gap,) = late.of("gap")
        assert gap["from"] == 1 and gap["to"] > 20


async def test_a_late_joiner_sees_from_its_start_on(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = (await owner.acked(await owner.send("user_message", prompt="go")))["sessionId"]
        play = await agent.begun()
        await play.say("before\n")
        await owner.until("agent_stdout")
        late = await here.join()
        assert late.welcome["sessions"][0]["head"] == 2
        await play.say("after\n")
        assert (await late.until("agent_stdout"))["seq"] == 3
        play.end()
        assert (await late.until("terminal_state"))["sessionId"] == session


# --- stopping and starting again ------------------------------------------------------------------------------------


async def test_a_graceful_stop_tells_how_turns_ended_and_closes_with_1001(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner, follower = await here.join(), await here.join()
        session = (await owner.acked(await owner.send("user_message", id="m1", prompt="one")))["sessionId"]
        await owner.acked(await owner.send("user_message", id="m2", prompt="two", sessionId=session))
        play = await agent.begun()
        play.ask()
        await owner.until("permission_request")
        await here.server.close()
        for client in (owner, follower):
            assert await client.closed() == 1001
            assert client.of("permission_resolved")[0]["outcome"] == "cancelled"
            ends = [(end["id"], end["exitCode"], end["stopReason"]) for end in client.of("terminal_state")]
            assert ends == [("m1", 1, "interrupted"), ("m2", 1, "interrupted")]
        assert play.cancelled.is_set()
        seen = owner.run.seen[session]
        await here.server.close()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        assert owner.welcome["sessions"][0]["state"] == "failed"
        assert len(await here.events(session)) == seen
        await owner.settle()
        assert agent.runs == 1
