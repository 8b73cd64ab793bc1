"""Finding one's way: empty sessions, links to an event, keys, the last failure, unread sessions, a phone's menu."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Viewer, expect, stage

PHONE = {"width": 390, "height": 844}


async def ran(viewer: Viewer, prompt: str, ends: int) -> None:
    await viewer.prompt(prompt)
    await expect(viewer.at(".item.end")).to_have_count(ends)


async def test_an_empty_session_says_what_it_is_and_an_example_is_a_click_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        follower = await scene.join(scene.invite()[0])
        await expect(owner.at("#empty")).to_contain_text("What shall be done?")
        await expect(owner.at("#empty")).to_contain_text("You drive. 1 follower watches.")
        await expect(follower.at("#empty")).to_contain_text("What the owner does appears here by itself")
        await expect(follower.at("#empty button")).to_have_count(0)
        await owner.at("#empty button").first.click()
        await expect(owner.at("#prompt")).to_have_value("What does this project do?")
        assert "null" not in await owner.at("#empty").inner_text()
        await ran(owner, "help", 1)
        for viewer in (owner, follower):
            await expect(viewer.at("#empty")).to_be_hidden()


async def test_a_link_to_a_turn_opens_there_and_holds_no_token(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        for number in range(1, 13):
            await ran(owner, "help", number)
        await owner.at(".item.prompt .anchor").nth(3).click()
        link = owner.page.url
        assert "event=" in link
        assert scene.server.token not in link
        assert "#" not in link
        token = scene.invite()[0]
        late = await scene.open()
        await late.join(f"{link}#{token}")
        await expect(late.at(".item.prompt").nth(3)).to_have_class("item prompt reached")
        await expect(late.at(".item.prompt").nth(3)).to_be_in_viewport()
        await expect(late.at("#latest")).to_be_visible()


async def test_keys_lead_to_turns_failures_and_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await expect(owner.at("#failure")).to_be_hidden()
        for number in range(1, 8):
            await ran(owner, "read nothing.md" if number == 2 else "help", number)
        await owner.at("#stream").focus()
        press = owner.page.keyboard.press
        await press("f")
        await expect(owner.at(".item.end.failed")).to_have_class("item end failed reached")
        await expect(owner.at(".item.end.failed")).to_be_in_viewport()
        await press("k")
        await press("j")
        await expect(owner.at(".item.prompt").nth(2)).to_have_class("item prompt reached")
        await press("g")
        await expect(owner.at("#latest")).to_be_hidden()
        await press("?")
        await expect(owner.at("#help-dialog")).to_be_visible()
        await owner.at("#help-close").click()
        await press("/")
        await expect(owner.at("#search-text")).to_be_focused()
        await press("k")  # typed, not done
        await expect(owner.at("#search-text")).to_have_value("k")


async def test_a_session_that_goes_on_unseen_is_marked_and_sessions_are_found_by_name(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        for number in range(6):
            if number > 0:
                await owner.at("#new-session").click()
            await ran(owner, f"!true {number}" if number == 9 else "help", 1)
        rows = owner.at("#session-list button")
        await expect(rows).to_have_count(6)
        follower = await scene.join(scene.invite()[0])
        await expect(follower.at("#session-list button")).to_have_count(6)
        await expect(follower.at(".unread")).to_have_count(0)
        await follower.at("#session-list button").last.click()
        await ran(owner, "list", 2)
        await expect(follower.at(".unread")).to_have_count(1)
        await follower.at(".unread button").click()
        await expect(follower.at(".unread")).to_have_count(0)
        await follower.at("#session-filter").fill("no such name")
        await expect(follower.at("#session-list")).to_have_text("No session is called that.")
        await follower.at("#session-filter").fill("HELP")
        await expect(follower.at("#session-list button")).to_have_count(6)


@pytest.mark.parametrize("size", [PHONE, {"width": 844, "height": 390}], ids=["upright", "landscape"])
async def test_on_a_phone_the_head_is_slim_and_everything_can_be_hit(tmp_path: Path, size: dict[str, int]) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join(viewport=size, has_touch=True, is_mobile=True)
        await ran(owner, "help", 1)
        top = await owner.at("#stream").bounding_box()
        assert top is not None
        assert top["y"] <= 52
        await expect(owner.at("#search-text")).to_be_hidden()
        await owner.at("#more").click()
        await expect(owner.at("#search-text")).to_be_visible()
        await expect(owner.at("#release")).to_be_visible()
        small = """[...document.querySelectorAll('button, select, input, textarea, summary')].filter((node) => {
          const {width, height} = node.getBoundingClientRect();
          return width > 0 && (height < 44 || width < 44) && node.type !== 'checkbox';
        }).map((node) => node.outerHTML.slice(0, 80))"""
        assert await owner.page.evaluate(small) == []
        await owner.at("#more").click()
        await owner.prompt("!echo hello")
        await expect(owner.at("#permission")).to_be_visible()
        assert await owner.page.evaluate(small) == []
        sheet, deny, allow = [
            await owner.at(each).bounding_box()
            for each in ("#permission", "#permission-answers .deny", "#permission-answers .allow")
        ]
        assert sheet is not None and deny is not None and allow is not None
        assert sheet["x"] == 0
        assert sheet["y"] + sheet["height"] == size["height"]
        assert allow["x"] - (deny["x"] + deny["width"]) >= 20
        assert allow["y"] + allow["height"] <= size["height"]
        await owner.answer("Deny")
        await expect(owner.at(".item.end")).to_have_count(2)
