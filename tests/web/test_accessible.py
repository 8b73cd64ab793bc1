"""axe-core over the page in its states: no violation of any level. It is fetched by the test, never kept here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from browser import Viewer, expect, stage
from puppet import Puppet
from tests.host.test_repository import made, write
from tests.web.test_changed import AFTER, BEFORE, edit, planned

VERSION = "4"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so axe-core cannot be fetched")
    place = tmp_path_factory.mktemp("axe")
    argv = [
        npm,
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(place),
        f"axe-core@{VERSION}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        pytest.skip(f"axe-core cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
    return (place / "node_modules" / "axe-core" / "axe.min.js").read_text()


async def violations(viewer: Viewer, axe: str) -> list[str]:
    await viewer.page.evaluate(axe)
    found = await viewer.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{each['id']}: {node['html'][:120]}" for each in found["violations"] for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_violation_in_any_state(tmp_path: Path, axe: str, scheme: str) -> None:
    async with stage(tmp_path) as scene:
        blank = await scene.open(color_scheme=scheme)
        await blank.page.goto(scene.link().partition("#")[0])
        await expect(blank.at("#join")).to_be_visible()
        assert await violations(blank, axe) == []
        owner = await scene.join(color_scheme=scheme)
        assert await violations(owner, axe) == []  # an empty session
        follower = await scene.join(scene.invite()[0], color_scheme=scheme, viewport={"width": 360, "height": 740})
        await owner.prompt("write a.md\n# Title\n")
        await owner.answer("Allow")
        await expect(owner.at(".item.end")).to_be_visible()
        await owner.prompt("read a.md")
        await expect(owner.at(".item.end")).to_have_count(2)
        await owner.prompt("!echo out; echo err >&2; echo \u202e; exit 1")
        await expect(owner.at("#permission-answers button.deny")).to_be_enabled()
        await expect(follower.at("#waiting")).to_be_visible()
        for viewer in (owner, follower):
            assert await violations(viewer, axe) == []
        await owner.at("#permission-read").check()
        await owner.answer("Allow")
        await expect(owner.at(".item.end.failed")).to_be_visible()
        await owner.at("#help").click()
        await follower.at("#more").click()
        for viewer in (owner, follower):
            assert await violations(viewer, axe) == []
        await owner.at("#help-close").click()
        await owner.at("#people").click()
        await expect(owner.at("#people-dialog")).to_be_visible()
        for viewer in (owner, follower):
            assert await violations(viewer, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_violation_in_what_changed(tmp_path: Path, axe: str, scheme: str) -> None:
    """Beside the session and over it, with differences in one column and in two, with git's and without."""
    puppet = Puppet()
    place = made(tmp_path / "w", {"a.py": "one two three\n"})
    write(place, "a.py", "one zwei three\n")
    write(place, "new", "1\n")
    async with stage(place, puppet) as scene:
        owner = await scene.join(color_scheme=scheme, viewport={"width": 1440, "height": 900})
        follower = await scene.join(scene.invite()[0], color_scheme=scheme, viewport={"width": 390, "height": 740})
        await owner.prompt("go")
        play = await puppet.begun()
        await planned(play)
        await edit(play, "a", "a.py", BEFORE, AFTER)
        await expect(owner.at(".item.tool .diff")).to_be_visible()
        await follower.at("#more").click()
        for viewer in (owner, follower):
            await viewer.at("#changes").click()
            await viewer.at("#changed section[aria-labelledby=changed-files] summary").click()
            await expect(viewer.at("#changed .diff")).to_be_visible()
        for row in await owner.at("section[aria-labelledby=changed-git] summary").all():
            await row.click()
        await expect(owner.at("section[aria-labelledby=changed-git] .diff")).to_have_count(2)
        for viewer in (owner, follower):
            assert await violations(viewer, axe) == []
        await owner.at("#keep").click()
        await expect(owner.at("#keeping")).to_be_visible()
        assert await violations(owner, axe) == []
        play.end()


async def test_the_check_finds_a_violation(tmp_path: Path, axe: str) -> None:
    async with stage(tmp_path) as scene:
        viewer = await scene.join()
        await viewer.page.evaluate("document.querySelector('#prompt-form label').remove()")
        await viewer.page.evaluate("document.querySelector('#prompt').removeAttribute('placeholder')")
        assert any(each.startswith("label") for each in await violations(viewer, axe))
