"""Several people on the page: each allows in a dialog of their own, and everybody sees who has and who is missing."""

from __future__ import annotations

from pathlib import Path

from browser import expect, stage


async def test_two_people_allow_and_see_each_other(tmp_path: Path) -> None:
    async with stage(tmp_path, approve_by="2") as scene:
        owner = await scene.join()
        berta = await scene.join(scene.server.invite(may="approve", label="Berta").token)
        await owner.prompt("!touch made")
        for each in (owner, berta):
            await expect(each.at("#permission")).to_be_visible()
            await expect(each.at("#permission-where")).to_contain_text("Allowed by 0 of 2 people")
        await expect(owner.at("#permission-where")).to_contain_text("Seen by 2: ")
        await expect(owner.at("#permission-where")).to_contain_text("Berta")
        await berta.answer("Allow")
        await expect(berta.at("#permission")).to_be_hidden()
        await expect(berta.at("#waiting")).to_contain_text("Allowed by 1 of 2 people: Berta")
        await expect(owner.at("#permission-where")).to_contain_text("Allowed by 1 of 2 people: Berta")
        await expect(owner.at("#stream")).to_contain_text("Permission asked. Allowed by 1 of 2 people: Berta")
        assert not (tmp_path / "made").exists()
        await owner.answer("Allow")
        await expect(owner.at(".item.end")).to_contain_text("exit 0")
        assert (tmp_path / "made").exists()
        await expect(berta.at("#waiting")).to_be_hidden()


async def test_who_has_allowed_can_deny_still(tmp_path: Path) -> None:
    async with stage(tmp_path, approve_by="2") as scene:
        owner = await scene.join()
        await owner.prompt("!touch made")
        await owner.answer("Allow")
        await owner.at("#waiting").get_by_role("button", name="Answer").click()
        await owner.answer("Deny")
        await expect(owner.at(".item.end")).to_contain_text("exit 1")
        assert not (tmp_path / "made").exists()
