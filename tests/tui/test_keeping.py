"""Sessions as people keep them, in the full-screen client: named, put away, deleted once it was asked again."""

from __future__ import annotations

from typing import Any


async def chosen(sitting: Any, words: str) -> None:
    """Do something by the palette."""
    await sitting.press("ctrl+p")
    await sitting.press(*(each if each != " " else "space" for each in words), "enter")


async def two(here: Any, sitting: Any) -> None:
    """Two sessions, the second one shown."""
    for prompt in ("first", "second"):
        if prompt == "second":
            await sitting.press("f2", "enter")
            await sitting.until(lambda: sitting.app.session is None)
        await sitting.prompt(prompt)
        (await here.puppet.begun()).end()
        await sitting.until("Turn ended")


async def test_a_session_is_named_and_deleted(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await two(here, anna)
        shown = anna.app.session
        await chosen(anna, "name")
        await anna.until("What this session is called")
        await anna.press("end", *"!", "enter")
        await anna.until(lambda: anna.app.metadata.title == "second!")
        await chosen(anna, "delete")
        await anna.until("Delete this session?")
        await anna.press("enter")  # what stands first keeps it
        await chosen(anna, "delete")
        await anna.until("delete it for everybody")
        assert shown in here.server.host.sessions
        await anna.press("down", "enter")
        await anna.until(lambda: anna.app.session != shown)
        assert [each.title for each in here.server.host.sessions.values()] == ["first"]
        await anna.until("deleted by")


async def test_one_that_is_put_away_is_no_more_in_the_list(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await two(here, anna)
        away = anna.app.session
        await chosen(anna, "out of the way")
        await anna.until(lambda: anna.app.metadata.archived)
        await anna.press("f2", "down", "down", "enter")
        await anna.until(lambda: anna.app.session != away)
        await anna.press("f2")
        await anna.until("Sessions (* is shown)")
        assert "second" not in anna.text


async def test_a_follower_keeps_nothing(room: Any) -> None:
    async with room() as here, here.sit() as anna, here.sit(role="follower", label="ben") as ben:
        await two(here, anna)
        for words in ("name", "out of the way", "delete"):
            await chosen(ben, words)
            await ben.until("only the owner can")
        assert len(here.server.host.sessions) == 2
