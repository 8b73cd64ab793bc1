"""The list of what the agent offers, in a real browser: chosen by the owner, shown to all, guarded by a question."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from browser import expect, stage

from myagent.agents.acp.host import AcpAgent

FAKE = Path(__file__).parents[1] / "agents" / "fake_agent.py"


def agent(directory: Path) -> AcpAgent:
    return AcpAgent([sys.executable, "-I", str(FAKE), "--modes", "ask,auto", "--offer", "config"], cwd=directory)


async def begun(scene: Any) -> Any:
    owner = await scene.join()
    await owner.prompt("say hello")
    await expect(owner.at("#stream")).to_contain_text("turn ended")
    return owner


async def test_an_owner_chooses_and_all_see_it(tmp_path: Path) -> None:
    async with stage(tmp_path, agent(tmp_path)) as scene:
        owner = await begun(scene)
        token, _ = scene.invite()
        follower = await scene.join(token)
        for viewer in (owner, follower):
            await expect(viewer.at("#options-now")).to_have_text("ask · big · low")
        await owner.at("#options-now").click()
        await owner.at("#options").get_by_label("m1").select_option(label="small")
        for viewer in (owner, follower):
            await expect(viewer.at("#options-now")).to_have_text("ask · small · low")
            await expect(viewer.at("#stream")).to_contain_text("m1=small chosen by")
        await follower.at("#options-now").click()
        await expect(follower.at("#options").get_by_label("m1")).to_be_disabled()
        await owner.at("#options").get_by_label("fast").select_option(label="on")
        await owner.prompt("chosen")
        await expect(owner.at("#stream")).to_contain_text('"m1": "small", "effort": "low", "fast": true')
        late = await scene.join(token)
        await expect(late.at("#stream")).to_contain_text("fast=on chosen by")


async def test_what_lets_it_act_unasked_is_asked_about_and_refused(tmp_path: Path) -> None:
    """Without `--allow-bypass` also who confirms it is refused, and the list shows what is."""
    async with stage(tmp_path, agent(tmp_path)) as scene:
        owner = await begun(scene)
        asked: list[str] = []
        answers = iter([False, True])

        async def answered(dialog: Any) -> None:
            asked.append(dialog.message)
            await (dialog.accept() if next(answers) else dialog.dismiss())

        owner.page.on("dialog", answered)
        await owner.at("#options-now").click()
        for _ in range(2):
            await owner.at("#options").get_by_label("Mode").select_option(label="auto: may act unasked")
        await expect(owner.at("#options .notice")).to_contain_text("--allow-bypass")
        assert len(asked) == 2 and all("may act unasked" in each for each in asked)
        await expect(owner.at("#options-now")).to_have_text("ask · big · low")
        await owner.prompt("mode")
        await expect(owner.at("#stream")).to_contain_text("ask")
        await expect(owner.at("#stream")).not_to_contain_text("chosen by")
