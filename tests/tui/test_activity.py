"""What an agent does by itself, in the full-screen client: seen live, asked about, and ended like any turn."""

from __future__ import annotations

from typing import Any


async def test_a_turn_of_its_own_is_followed_asked_about_and_stopped(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        first = await here.puppet.begun()
        first.end()
        await anna.until("Turn ended: exit 0")
        here.puppet.goes_on(first.turn)
        play = await here.puppet.begun()
        await anna.until("▌ The agent goes on by itself")
        await anna.until("running")
        await play.say("the build has ended\n")
        await anna.until("the build has ended")
        answer = play.ask("make install")
        await anna.asked()
        await anna.press("y")
        assert (await answer).kind == "allow"
        await anna.press("ctrl+c")
        await play.cancelled.wait()
        await anna.until("Turn ended: exit 130")


async def test_a_prompt_meanwhile_waits_and_comes_after_it(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        first = await here.puppet.begun()
        first.end()
        await anna.until("Turn ended: exit 0")
        going = here.puppet.goes_on(first.turn)
        play = await here.puppet.begun()
        await anna.until("goes on by itself")
        await anna.prompt("and then")
        await anna.until(lambda: going.hurried)
        assert here.puppet.runs == 1
        play.end()
        after = await here.puppet.begun()
        assert after.turn.prompt == "and then"
        after.end()
        await anna.until(lambda: anna.text.count("Turn ended") == 3)


async def test_calls_of_a_subagent_stand_below_the_call_that_began_it(room: Any) -> None:
    def call(name: str, parent: str = "") -> dict[str, Any]:
        told: dict[str, Any] = {"sessionUpdate": "tool_call", "toolCallId": name, "title": name, "status": "completed"}
        return told | ({"_meta": {"claudeCode": {"parentToolUseId": parent}}} if parent else {})

    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        for update in (call("Task"), call("Grep", "Task"), call("Deeper", "Grep"), call("Read")):
            await play.io.stderr(f"✓ {update['title']}: completed\n", update=update)
        await anna.until("Read (completed)")
        shown = [line for line in anna.lines if "(completed)" in line]
        places = {line.strip().split()[1]: len(line) - len(line.lstrip()) for line in shown}
        assert places == {"Task": 0, "Grep": 2, "Deeper": 4, "Read": 0}
        play.end()
