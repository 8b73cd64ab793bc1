"""Several people in the full-screen client: the question says who has allowed, and ours can become a deny."""

from __future__ import annotations

from typing import Any


async def test_two_people_allow_and_see_each_other(room: Any) -> None:
    async with room(approve_by="2") as here, here.sit() as anna:
        carl_token = here.server.invite(may="approve", label="Carl").token
        async with here.sit(token=carl_token) as carl:
            await anna.prompt("go")
            play = await here.puppet.begun()
            answer = play.ask("make all", kind="execute")
            await anna.asked()
            await carl.asked()
            await anna.until("people   0 of 2 people")
            await anna.until("seen by: ")
            await anna.until(lambda: "Carl" in anna.text.partition("seen by: ")[2])
            assert "m remember" not in anna.text
            await anna.press("y")
            await carl.until("people   1 of 2 people")
            await anna.until("Permission allowed so far by 1 of 2 people")
            assert not answer.done()
            await carl.press("y")
            assert (await answer).kind == "allow"
            again = play.ask("make it", kind="execute")
            await anna.asked()
            await anna.press("y")
            await anna.until(lambda: anna.app.requests.question is None and bool(anna.app.requests.ours()))
            await anna.press("f9")
            await anna.asked()
            await anna.press("n")
            assert (await again).kind == "deny"
            play.end()
