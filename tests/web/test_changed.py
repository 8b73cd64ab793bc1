"""What changed: a session's files with their differences, its plan, and what git tells; hostile names and texts too."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from browser import Stage, Viewer, expect, stage
from puppet import Play, Puppet
from tests.host.test_repository import git, made, write

from myagent.core.messages import Diff

BEFORE = "".join(f"line {number}\n" for number in range(40))
AFTER = BEFORE.replace("line 7\n", "line seven\n").replace("line 30\n", "")
HOSTILE = '<img src=x onerror=alert(1)>\u202e/a.py"'


async def edit(play: Play, name: str, path: str, before: str | None, after: str, status: str = "completed") -> None:
    diff = {"type": "diff", "path": path, "oldText": before, "newText": after}
    fields = {"toolCallId": name, "title": f"Edit {name}", "kind": "edit", "status": status, "content": [diff]}
    await play.io.stderr("", update={"sessionUpdate": "tool_call", **fields})


async def planned(play: Play) -> None:
    steps = [("Read", "completed"), ("Write", "in_progress"), ("Test", "pending")]
    entries = [{"content": content, "status": status} for content, status in steps]
    await play.io.stderr("", update={"sessionUpdate": "plan", "entries": entries})


async def begun(scene: Stage, puppet: Puppet, **context: Any) -> tuple[Viewer, Play]:
    owner = await scene.join(**context)
    await owner.prompt("go")
    return owner, await puppet.begun()


def file(viewer: Viewer, name: str) -> Any:
    return viewer.at("#changed details.file").filter(has=viewer.page.get_by_text(name, exact=True))


async def test_a_sessions_files_its_plan_and_what_it_used_are_a_click_away(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner, play = await begun(scene, puppet)
        await owner.at("#changes").click()
        await expect(owner.at("#changed-files")).to_have_text(re.compile("^By this session, 0 files"))
        await planned(play)
        await edit(play, "a", f"{tmp_path}/src/a.py", BEFORE, AFTER)
        await edit(play, "b", "b.py", None, "new\n")
        await edit(play, "c", "c.py", "old\n", "denied\n", "failed")
        await edit(play, "again", "b.py", "new\n", "newer\n")
        play.io.tell(usage={"used": 50, "size": 200, "cost": {"amount": 1.5, "currency": "USD"}})
        await expect(owner.at("#changed .checklist li")).to_have_text(["☑Read", "◐Write", "☐Test"])
        await expect(owner.at("#changed-plan")).to_have_text("Plan, 1 of 3 done")
        await expect(owner.at("#changed-files")).to_have_text("By this session, 2 files +3 −3")
        await expect(owner.at("#changed section[aria-labelledby=changed-files] summary")).to_have_text(
            ["b.py (new)+2 −1", "src/a.py+1 −2"]
        )
        await file(owner, "src/a.py").locator("summary").click()
        lines = file(owner, "src/a.py").locator(".line")
        await expect(lines.filter(has_text="seven")).to_have_text("+line seven\n")
        await expect(lines.filter(has_text="unchanged")).to_have_count(3)
        await file(owner, "src/a.py").get_by_role("button", name="4 unchanged lines").click()
        await expect(lines.filter(has_text="line 0")).to_have_count(1)
        play.end()
        await expect(owner.at("#changed")).to_contain_text("Context: 50 of 200 (25 %) tokens. Cost: 1.5 USD")
        await expect(file(owner, "src/a.py")).to_have_attribute("open", "")
        await file(owner, "src/a.py").get_by_role("button", name="Where it happened").click()
        await expect(owner.at(".item.reached")).to_contain_text("Edit a")
        await owner.page.keyboard.press("c")
        await expect(owner.at("#changed")).to_be_hidden()


async def test_on_a_phone_it_covers_the_session_and_leads_back(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner, play = await begun(scene, puppet, viewport={"width": 390, "height": 844})
        await edit(play, "a", "a.py", "one\n", "two\n")
        await owner.at("#more").click()
        await owner.at("#changes").click()
        await file(owner, "a.py").locator("summary").click()
        await owner.at("#changed").get_by_role("button", name="Where it happened").click()
        await expect(owner.at("#changed")).to_be_hidden()
        await expect(owner.at(".item.reached")).to_be_visible()
        play.end()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
async def test_git_is_asked_for_those_who_may_own_and_for_nobody_else(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"a.py": "x = 1\n", "gone": "1\n"})
    write(place, "a.py", "x = 2\n")
    (place / "gone").unlink()
    write(place, HOSTILE.encode(), "<b>text</b>\n")
    git(place, "add", "gone")
    async with stage(place) as scene:
        owner = await scene.join()
        follower = await scene.join(scene.invite()[0])
        for viewer in (owner, follower):
            await viewer.at("#changes").click()
        await expect(owner.at("#changed-git")).to_have_text("In the directory, by git: on main, 3 files")
        shown = owner.at("section[aria-labelledby=changed-git] .title")
        escaped = HOSTILE.replace("\u202e", "\\u{202e}")
        await expect(shown).to_have_text(["a.py", "gone", escaped])
        await file(owner, "a.py").locator("summary").click()
        await expect(file(owner, "a.py").locator(".line")).to_have_text(["line 1\n", "-x = 1\n", "+x = 2\n"])
        await expect(file(owner, "a.py").locator("mark")).to_have_text(["1", "2"])
        await file(owner, escaped).locator("summary").click()
        await expect(file(owner, escaped)).to_contain_text("+<b>text</b>")
        await expect(follower.at("#changed section[aria-labelledby=changed-git]")).to_be_hidden()
        write(place, "later", "1\n")
        await owner.at("#changed").get_by_role("button", name="Ask again").click()
        await expect(owner.at("#changed-git")).to_contain_text("4 files")
        assert await owner.page.evaluate("document.querySelectorAll('#changed :is(img, script, b)').length") == 0


async def test_no_repository_is_said_to_be_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        owner = await scene.join()
        await owner.at("#changes").click()
        await expect(owner.at("#changed")).to_contain_text("Nothing can be told: ")


async def test_long_differences_are_folded_and_hostile_ones_take_no_time(tmp_path: Path) -> None:
    """Lines of a megabyte, ten thousand lines that all differ, nothing but one word that repeats."""
    puppet = Puppet()
    wide = "x" * 200_000
    many = "".join(f"{number} {number * 7}\n" for number in range(10_000))
    alike = ("a b " * 200 + "\n") * 300
    async with stage(tmp_path, puppet) as scene:
        owner, play = await begun(scene, puppet)
        await owner.at("#changes").click()
        await edit(play, "wide", "wide", wide, wide + "y")
        await edit(play, "many", "many", many, many.replace("7", "8"))
        await edit(play, "alike", "alike", alike, alike.replace("b a", "c a"))
        for name in ("wide", "many", "alike"):
            await file(owner, name).locator("summary").click()
        more = file(owner, "many").get_by_role(
            "button", name=re.compile(r"^Show [\d,]+ more lines \(\+[\d,]+ −[\d,]+\)$")
        )
        await expect(file(owner, "many").locator(".line")).to_have_count(160)
        await more.click()
        await expect(file(owner, "many").locator(".line")).to_have_count(2160)
        assert await owner.page.evaluate("document.querySelectorAll('#changed [style]').length") == 0
        play.end()


@pytest.mark.parametrize("width", [390, 1440])
async def test_changes_stand_side_by_side_where_there_is_room(tmp_path: Path, width: int) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner, play = await begun(scene, puppet, viewport={"width": width, "height": 900})
        await edit(play, "a", "a.py", "same\none two\nthree\nend\n", "same\none zwei\nend\n")
        lines = owner.at(".item.tool .line")
        await expect(lines).to_have_text([" same\n", "-one two\n", "-three\n", "+one zwei\n", " end\n"])
        await expect(owner.at(".item.tool mark")).to_have_text(["two", "zwei"])
        boxes = [await lines.nth(number).bounding_box() for number in (1, 2, 3)]
        old, _, new = [(box["x"], box["y"]) for box in boxes if box is not None]
        assert (new[1] == old[1] and new[0] > old[0]) if width == 1440 else (new[1] > old[1] and new[0] == old[0])
        play.end()


async def test_the_names_of_a_shown_change_are_neither_added_nor_removed(tmp_path: Path) -> None:
    puppet = Puppet()
    text = "--- a.sql\n+++ a.sql\n@@ -1,2 +1,2 @@\n--- a comment that goes\n+++ one that comes\n kept\n"
    async with stage(tmp_path, puppet) as scene:
        owner, play = await begun(scene, puppet)
        change = Diff("a.sql", "-- a comment that goes\nkept\n", "++ one that comes\nkept\n")
        answer = asyncio.ensure_future(play.ask(text, diffs=(change,)))
        await expect(owner.at("#permission-display .line")).not_to_have_count(0)
        kinds = await owner.at("#permission-display .line").evaluate_all("(all) => all.map((each) => each.className)")
        assert [each.split()[-1] for each in kinds][:6] == ["head", "head", "skip", "old", "new", "same"]
        await owner.answer("Deny")
        await answer
        play.end()
