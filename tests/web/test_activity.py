"""What an agent does by itself, in the page: a turn of its own, followed live, asked about, and stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

from browser import PATIENCE, expect, stage
from puppet import Puppet


async def test_a_turn_of_its_own_is_followed_asked_about_and_stopped(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        first = await puppet.begun()
        first.end()
        await expect(owner.at(".item.end")).to_have_count(1)
        puppet.goes_on(first.turn)
        play = await puppet.begun()
        drawn = owner.at(".activity")
        await expect(drawn).to_contain_text("The agent goes on by itself")
        await expect(drawn).to_contain_text("running")
        await play.say("the build has ended\n")
        await expect(owner.at("#stream")).to_contain_text("the build has ended")
        answer = play.ask("make install")
        await owner.answer("Allow")
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "allow"
        await owner.at("#stop").click()
        await asyncio.wait_for(play.cancelled.wait(), PATIENCE)
        await expect(owner.at(".item.end")).to_have_count(2)
        await expect(drawn).not_to_contain_text("running")
