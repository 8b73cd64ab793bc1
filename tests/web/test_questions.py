"""A question of the agent's in the page: a form, filled in by the owner; an address, which opens nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from browser import PATIENCE, expect, stage
from puppet import Puppet

from myagent.core.questions import asked_form, asked_url

FORM = {
    "properties": {
        "name": {"type": "string", "title": "Your name"},
        "colour": {"oneOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]},
        "many": {"type": "array", "items": {"enum": ["x", "y"]}},
        "count": {"type": "integer", "minimum": 1, "maximum": 3, "default": 2},
        "sure": {"type": "boolean"},
    },
    "required": ["name"],
}

LIST = {
    "properties": {"list": {"type": "array", "minItems": 1, "items": {"enum": ["x", "y"]}}},
    "required": ["list"],
}


async def test_a_form_is_filled_in_and_sent(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner, follower = await scene.open(), await scene.open()
        await owner.join(scene.link())
        await follower.join(scene.link(scene.invite()[0]))
        await owner.prompt("go")
        play = await puppet.begun()
        answer = asyncio.create_task(play.io.question(asked_form("Who \u202eare you?", FORM)))
        dialog = owner.at("#question")
        await expect(dialog).to_be_visible()
        await expect(dialog).to_contain_text("Who \\u{202e}are you?")
        await owner.until("page.questions.part?._open()")
        await dialog.get_by_label("colour").select_option("Blue")
        await dialog.get_by_label("y", exact=True).check()
        await dialog.get_by_label("sure").select_option("Yes")
        await dialog.get_by_role("button", name="Send").click()  # its name is required
        assert not answer.done()
        await dialog.get_by_label("Your name").fill("Ann")
        await dialog.get_by_role("button", name="Send").click()
        given = await asyncio.wait_for(answer, PATIENCE)
        assert given.action == "accept"
        assert given.content == {"name": "Ann", "colour": "b", "many": ["y"], "count": 2, "sure": True}
        await expect(dialog).to_be_hidden()
        await expect(follower.at("#stream")).to_contain_text("Question answered by")
        await expect(follower.at("#question")).to_be_hidden()
        play.end()


async def test_an_address_is_shown_whole_with_its_host_and_can_be_declined(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.open()
        await owner.join(scene.link())
        await owner.prompt("go")
        play = await puppet.begun()
        url = "https://example.org:8443/login?a=b"
        answer = asyncio.create_task(play.io.question(asked_url("Sign in", url)))
        dialog = owner.at("#question")
        await expect(dialog).to_contain_text(url)
        await expect(dialog).to_contain_text("Host: example.org")
        await owner.until("page.questions.part?._open()")
        await dialog.get_by_role("button", name="Decline").click()
        assert (await asyncio.wait_for(answer, PATIENCE)).action == "decline"
        play.end()


async def test_what_was_typed_before_it_appeared_answers_nothing(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.open()
        await owner.join(scene.link())
        await owner.prompt("go")
        play = await puppet.begun()
        await owner.at("#prompt").focus()
        await owner.page.keyboard.down("Enter")
        answer = asyncio.create_task(play.io.question(asked_form("Who?", LIST)))
        dialog = owner.at("#question")
        await expect(dialog).to_be_visible()
        for key in ("Enter", "y", " ", "Tab", "Enter"):
            await owner.page.keyboard.press(key)
        await dialog.get_by_role("button", name="Decline").click(force=True)  # a press on its way, too
        assert not answer.done()
        await owner.until("page.questions.part?._open()")
        await dialog.get_by_role("button", name="Decline").click()
        assert (await asyncio.wait_for(answer, PATIENCE)).action == "decline"
        play.end()


async def test_without_the_guard_a_press_on_its_way_would_answer(tmp_path: Path) -> None:
    """The control of the test above."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.open()
        await owner.join(scene.link())
        await owner.page.evaluate(
            "new Promise((done) => page.questions.use((all) => done(all._open = () => true, all._guard = () => {})))"
        )
        await owner.prompt("go")
        play = await puppet.begun()
        answer = asyncio.create_task(play.io.question(asked_form("Who?", LIST)))
        await owner.at("#question").get_by_role("button", name="Decline").click(force=True)
        assert (await asyncio.wait_for(answer, PATIENCE)).action == "decline"
        play.end()


async def test_it_closes_with_its_agent_and_says_what_the_server_found_wrong(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.open()
        await owner.join(scene.link())
        await owner.prompt("go")
        play = await puppet.begun()
        dialog = owner.at("#question")
        taken_back = asyncio.create_task(play.io.question(asked_form("Well?", FORM)))
        await expect(dialog).to_be_visible()
        taken_back.cancel()
        await expect(dialog).to_be_hidden()
        answer = asyncio.create_task(play.io.question(asked_form("Which?", LIST)))
        await owner.until("page.questions.part?._open()")
        await dialog.get_by_role("button", name="Send").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("the field list must have at least 1 choices")
        assert not answer.done()
        await dialog.get_by_label("y", exact=True).check()
        await dialog.get_by_role("button", name="Send").click()
        assert (await asyncio.wait_for(answer, PATIENCE)).content == {"list": ["y"]}
        await expect(dialog).to_be_hidden()
        play.end()
