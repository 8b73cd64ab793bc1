"""Rules on the page: an allow is remembered, what a rule allows is not asked, and a rule is ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from browser import expect, stage
from playwright.async_api import Page


async def remember(page: Page, text: str) -> None:
    await page.locator("#permission-remember").select_option(label=text)


async def test_an_allow_is_remembered_used_and_ended(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!touch one")
        await expect(owner.at("#permission")).to_be_visible()
        assert await owner.at("#permission-remember option").all_inner_texts() == [
            "No, ask each time",
            "Exactly this (in this session)",
            "Commands that begin with: touch one (in this session)",
            "Commands that begin with: touch (in this session)",
            "Exactly this (in all sessions)",
            "Commands that begin with: touch one (in all sessions)",
            "Commands that begin with: touch (in all sessions)",
        ]
        await expect(owner.at("#permission-until")).to_be_hidden()
        await remember(owner.page, "Commands that begin with: touch (in all sessions)")
        await owner.at("#permission-until").select_option(label="for an hour")
        await owner.answer("Allow")
        await expect(owner.at(".item.end")).to_contain_text("exit 0")
        [rule] = scene.server.host.rules.live()
        left = datetime.fromisoformat(rule.until) - datetime.fromisoformat(rule.made_at)
        assert timedelta(minutes=59) < left <= timedelta(minutes=61)
        await owner.prompt("!touch two")
        await expect(owner.at(".item.end")).to_have_count(2)
        await expect(owner.at("#permission")).to_be_hidden()
        assert (tmp_path / "two").exists()
        await owner.at("#rules").click()
        await expect(owner.at("#rules-list li")).to_contain_text(["touch"])
        await owner.at("#rules-list").get_by_role("button", name="Revoke").click()
        await expect(owner.at("#rules-list")).to_contain_text("No rules")
        await owner.at("#rules-close").click()
        await owner.prompt("!touch three")
        await expect(owner.at("#permission")).to_be_visible()
        await owner.answer("Deny")


async def test_a_rule_that_does_not_allow_it_is_named_with_the_reason(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.prompt("!touch one")
        await remember(owner.page, "Commands that begin with: touch (in all sessions)")
        await owner.answer("Allow")
        await expect(owner.at(".item.end")).to_contain_text("exit 0")
        await owner.prompt("!touch two; touch three")
        await expect(owner.at("#permission-missed")).to_contain_text("does not allow it: it has more than plain words")
        assert await owner.at("#permission-remember").input_value() == ""  # nothing is remembered unless chosen anew
        await owner.answer("Deny")
        await expect(owner.at("#permission")).to_be_hidden()  # a box behind a dialog takes no text
        await owner.prompt("!touch a\u202eb")
        await expect(owner.at("#permission-flags")).to_be_visible()
        await expect(owner.at("#permission-remembering")).to_be_hidden()
        await owner.answer("Deny")
