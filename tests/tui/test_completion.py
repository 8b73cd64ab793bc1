"""Commands and files complete above the prompt of the full-screen client."""

from __future__ import annotations

from typing import Any

COMMANDS = [{"name": "review", "description": "Look closely\u202e", "hint": "[file]"}, {"name": "compact"}]


async def test_the_agents_commands_complete(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        play.io.tell(commands=COMMANDS)
        play.end()
        await anna.until("Turn ended: exit 0")
        anna.app.prompt_box.insert("/")
        await anna.until("› /review [file] – Look closely")
        assert "\u202e" not in anna.text and "/compact" in anna.text
        await anna.press("down", "tab")
        assert anna.app.prompt_box.text == "/compact "
        await anna.press("ctrl+u")
        anna.app.prompt_box.insert("/rev")
        await anna.press("escape")
        assert not anna.app.prompt_box.completion.display
        await anna.press("enter")
        assert (await here.puppet.begun()).turn.prompt == "/rev"


async def test_files_complete_and_go_with_the_prompt(room: Any, tmp_path: Any) -> None:
    async with room() as here, here.sit() as anna:
        workspace = here.server.workspace
        for name in ("app.py", "other.txt"):
            (workspace / name).write_text("x")
        anna.app.prompt_box.insert("see @ap")
        await anna.until("› app.py")
        await anna.press("enter")
        assert anna.app.prompt_box.text == "see @app.py "
        await anna.press("enter")
        play = await here.puppet.begun()
        assert (play.turn.prompt.strip(), [each.name for each in play.turn.content]) == ("see @app.py", ["app.py"])
        play.end()
        await anna.until("▌ [app.py]")
