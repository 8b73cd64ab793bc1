"""A session can exist without a turn: opened once, whatever is sent again, and prompted later."""

from __future__ import annotations

from pathlib import Path

import pytest
from puppet import Puppet
from wire import scene


@pytest.mark.usefixtures("quiet_log")
async def test_an_empty_session_is_there_for_all_and_takes_its_first_prompt_later(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        session = (await owner.acked(await owner.send("open_session")))["sessionId"]
        told = (await follower.until("session_metadata"))["session"]
        assert (told["sessionId"], told["state"], told["head"], told["title"]) == (session, "idle", 0, "")
        assert not await here.events(session)
        late = await here.join()
        assert [each["sessionId"] for each in late.welcome["sessions"]] == [session]
        await late.send("resume", sessionId=session, afterSeq=0)
        assert (await late.until("replayed"))["head"] == 0
        end = await here.turn(owner, "help", sessionId=session)
        assert end["sessionId"] == session
        assert next(event["type"] for event in await here.events(session)) == "prompt"
        assert (await owner.until("session_metadata"))["session"]["title"] == "help"


@pytest.mark.usefixtures("quiet_log")
async def test_the_same_id_opens_one_session_also_after_a_restart(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = (await owner.acked(await owner.send("open_session", id="o1")))["sessionId"]
        again = await owner.acked(await owner.send("open_session", id="o1"), duplicate=True)
        other = await owner.acked(await owner.send("open_session", id="o2"))
        assert again["sessionId"] == session != other["sessionId"]
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        again = await owner.acked(await owner.send("open_session", id="o1"), duplicate=True)
        assert again["sessionId"] == session
        assert len(owner.welcome["sessions"]) == 2
        # The id names the session that it opened: a prompt there with the same one is another prompt, and refused.
        await owner.refused(await owner.send("user_message", id="o1", prompt="x", sessionId=session), "conflict")


@pytest.mark.usefixtures("quiet_log")
async def test_it_is_the_owners_to_open_and_not_of_a_connection_that_watches_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await follower.refused(await follower.send("open_session"), "not_owner")
        session = (await owner.acked(await owner.send("open_session")))["sessionId"]
        await owner.leave()
        alone = await here.join(f"?session={session}")
        await alone.refused(await alone.send("open_session"), "not_allowed")
