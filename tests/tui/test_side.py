"""The column of wide terminals, the palette and the help: there where there is room, harmless whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest

from myagent.core.messages import AgentStdout, SessionId
from myagent.tui.palette import ACTIONS, matching
from myagent.tui.side import FILES, WIDE, changed, plan
from myagent.tui.story import Story

SESSION = SessionId("remote_20260101000000_00000000")
HOSTILE = "\x1b]0;owned\x07\u202eevil\nline"


def story(*updates: dict[str, Any]) -> Story:
    made = Story(0)
    for seq, update in enumerate(updates, 1):
        made.take(AgentStdout(id="t", session_id=SESSION, seq=seq, chunk="", update=update))
    return made


def edit(call: str, path: str, status: str = "completed", old: str | None = "a\n") -> dict[str, Any]:
    content = [{"type": "diff", "path": path, "oldText": old, "newText": "b\n"}]
    return {"sessionUpdate": "tool_call", "toolCallId": call, "status": status, "content": content}


def test_files_are_those_that_were_changed_the_latest_first() -> None:
    made = story(
        edit("1", "/w/src/one.py"),
        edit("2", "/w/src/two.py", old=None),
        edit("3", "/w/denied.py", "failed"),
        edit("4", "/w/asked.py", "pending"),
        edit("5", "/w/src/one.py"),
    )
    assert changed(made) == ["src/one.py (changed)", "src/two.py (new)"]


def test_many_files_are_counted() -> None:
    lines = changed(story(*(edit(str(n), f"/w/{n}.py") for n in range(FILES + 3))))
    assert len(lines) == FILES + 1 and lines[-1] == "… 3 more"


def test_the_plan_is_the_latest_one() -> None:
    made = story(
        {"sessionUpdate": "plan", "entries": [{"content": "old", "status": "pending"}]},
        {"sessionUpdate": "plan", "entries": [
            {"content": "read", "status": "completed"}, {"content": "write", "status": "in_progress"}, "no entry",
            {"content": "test", "status": "something of tomorrow"},
        ]},
    )  # fmt: skip
    assert plan(made) == ["✓ read", "~ write", "? test"]


def test_what_others_chose_stays_in_its_line() -> None:
    entries = [{"content": HOSTILE, "status": HOSTILE}]
    made = story({"sessionUpdate": "plan", "entries": entries}, edit("1", HOSTILE))
    for line in (*plan(made), *changed(made)):
        assert line.isprintable(), line


@pytest.mark.parametrize(
    ("typed", "found"), [("search", ["search"]), ("OWN ship", ["people", "ownership"]), ("zz", [])]
)
def test_the_palette_finds_by_parts_of_words(typed: str, found: list[str]) -> None:
    assert [action for _, _, action in matching(typed)] == found


async def test_every_action_of_the_palette_is_one(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.until("OWNER")
        for _, _, action in ACTIONS:
            assert hasattr(anna.app, f"action_{action.partition('(')[0]}"), action


async def test_a_wide_terminal_has_the_column_and_a_narrow_one_has_not(room: Any) -> None:
    async with room() as here, here.sit(size=(WIDE, 30)) as wide, here.sit(size=(WIDE - 1, 30), label="ben") as narrow:
        await wide.until("1 follower")
        await wide.prompt("build it")
        play = await here.puppet.begun()
        await play.io.stdout("", update=edit("1", "/w/src/one.py"))
        entries = [{"content": "write the test", "status": "in_progress"}]
        await play.io.stdout("", update={"sessionUpdate": "plan", "entries": entries})
        for shown in ("you own the session", "src/one.py (changed)", "~ write the test", "▸~ build it"):
            await wide.until(shown)
        await narrow.until("running")
        assert "src/one.py (changed)" not in narrow.text and "owner: anna" in narrow.text
        play.ask("make")
        await wide.asked()
        await wide.press("escape")
        await wide.until("▸? build it")
        await narrow.pilot.resize_terminal(WIDE, 30)
        await narrow.until("src/one.py (changed)")


async def test_the_palette_does_what_is_chosen(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.until("OWNER")
        await anna.press("ctrl+p")
        await anna.until("type a part of it")
        await anna.press(*"own", "down", "enter")
        await anna.told("F4 once more gives the ownership up")
        await anna.press("f4")
        await anna.until("FOLLOWER")
        await anna.press("ctrl+p", *"light", "enter")
        await anna.until(lambda: not anna.app.current_theme.dark)
        await anna.press("ctrl+p", *"nothing like it", "enter", "escape")
        await anna.until(lambda: len(anna.app.screen_stack) == 1)


async def test_a_question_mark_helps_and_can_still_be_written(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.until("OWNER")
        await anna.press("question_mark")
        await anna.until("stop the turn that runs here")
        await anna.press("question_mark")
        await anna.until(lambda: anna.app.prompt_box.text == "?")
        await anna.press("question_mark")
        await anna.until(lambda: anna.app.prompt_box.text == "??")


async def test_sixty_by_fifteen_is_enough(room: Any) -> None:
    async with room() as here, here.sit(size=(60, 15)) as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        await play.say("some words\n")
        await anna.until("some words")
        await anna.press("f1")
        await anna.until("submit the prompt")
        await anna.press("pagedown", "end")
        await anna.until("work after Esc")
        await anna.press("escape")
        answer = play.ask("make all", title="Run make")
        await anna.asked()
        for shown in ("Permission needed: Run make", "| make all", "y allow"):
            assert shown in anna.text, anna.text
        await anna.press("y")
        assert (await answer).kind == "allow"
        play.end()
        await anna.until("Turn ended")
        assert all(len(line) <= 60 for line in anna.lines)
