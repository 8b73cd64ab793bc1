"""Sessions as people keep them, in the page: named, put away and back, deleted; and what others see of that."""

from __future__ import annotations

from pathlib import Path

from browser import Viewer, expect, stage


async def ran(owner: Viewer, prompt: str, count: int) -> None:
    await owner.prompt(prompt)
    await expect(owner.at(".item.end")).to_have_count(count)


async def test_a_session_is_named_put_away_and_deleted_by_its_owner(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await ran(owner, "help", 1)
        follower = await scene.join(scene.invite()[0])
        await expect(follower.at("#session-name")).to_have_text("help")
        await expect(follower.at("#keep")).to_be_hidden()
        await owner.at("#keep").click()
        await owner.at("#keep-name").fill("my <b>name</b>")
        await owner.page.keyboard.press("Enter")
        for viewer in (owner, follower):
            await expect(viewer.at("#session-name")).to_have_text("my <b>name</b>")
        await owner.at("#keep").click()
        await owner.at("#keeping").get_by_role("button", name="Put away").click()
        await expect(owner.at("#session-list button")).to_have_count(0)
        await owner.at("#keep").click()
        await owner.at("#keeping").get_by_role("button", name="Bring back").click()
        await expect(owner.at("#session-list button")).to_have_count(1)
        await owner.at("#new-session").click()
        await ran(owner, "read none", 1)
        await owner.at("#keep").click()
        delete = owner.at("#keeping").get_by_role("button", name="Delete", exact=True)
        await expect(delete).to_be_disabled()
        await owner.at("#keep-sure").check()
        await delete.click()
        await expect(owner.at("#session-name")).to_have_text("my <b>name</b>")
        await expect(owner.at("#session-list button")).to_have_count(1)
        assert len(scene.server.host.sessions) == 1


async def test_a_session_that_is_watched_and_deleted_elsewhere_is_left(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await ran(owner, "help", 1)
        await owner.at("#new-session").click()
        await ran(owner, "read none", 1)
        follower = await scene.join(scene.invite()[0])
        await expect(follower.at("#session-name")).to_have_text("read none")
        await owner.at("#keep").click()
        await owner.at("#keep-sure").check()
        await owner.at("#keeping").get_by_role("button", name="Delete", exact=True).click()
        await expect(follower.at("#session-name")).to_have_text("help")
        await expect(follower.at("#announcer")).to_contain_text("deleted by")
