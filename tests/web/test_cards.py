"""One thing, one card: a tool call with its permission, who answered, what came of it; reads fold, subagents nest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from browser import PATIENCE, expect, stage
from puppet import Puppet

from myagent.agents import ToolCall


def update(call_id: str, **fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call_update", "toolCallId": call_id, **fields}


async def test_a_call_its_question_and_its_end_are_one_card(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("go")
        play = await puppet.begun()
        begun = {
            "sessionUpdate": "tool_call",
            "toolCallId": "c",
            "title": "make",
            "kind": "execute",
            "status": "pending",
        }
        await play.io.stderr("", update=begun)
        card = owner.at(".item.tool")
        for outcome, answer, ends in (("Allow", "allowed by", "failed"), ("Deny", "denied by", "denied")):
            if outcome == "Deny":
                await play.io.stderr("", update={**begun, "toolCallId": "d"})
            asked = asyncio.ensure_future(play.io.ask(ToolCall("bash", {"command": "make"}, "make", title="make")))
            await expect(card.last.locator(".status")).to_have_text("asked")
            await expect(card.last).to_have_attribute("open", "")
            await expect(card.last.locator(".display")).to_contain_text("make")
            await owner.answer(outcome)
            await asyncio.wait_for(asked, PATIENCE)
            await expect(card.last.locator(".answered")).to_contain_text(answer)
            call_id = "c" if outcome == "Allow" else "d"
            content = [{"type": "content", "content": {"type": "text", "text": "no rule to make it"}}]
            await play.io.stderr("", update=update(call_id, status="failed", content=content))
            await expect(card.last.locator(".status")).to_have_text(ends)
        await expect(card.first).to_have_attribute("open", "")  # it failed: why is in sight
        await expect(card.first).to_contain_text("no rule to make it")
        assert await card.last.get_attribute("open") is None  # it was denied: a line
        await expect(owner.at(".item.question")).to_have_count(0)
        play.end()
        await expect(owner.at(".item")).to_have_count(4)  # the prompt, two calls, the end


async def test_reads_in_a_row_fold_and_are_found(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        await owner.prompt("look")
        play = await puppet.begun()
        for name in ("a.py", "b.py", "c.py"):
            begun = {"sessionUpdate": "tool_call", "toolCallId": name, "title": f"Read {name}", "kind": "read"}
            await play.io.stderr("", update=begun)
            content = [{"type": "content", "content": {"type": "text", "text": f"content of {name}"}}]
            await play.io.stderr("", update=update(name, status="completed", content=content))
        fold = owner.at(".item.reads > .fold")
        await expect(fold.locator("> summary")).to_contain_text("3 reads: Read a.py, Read b.py, Read c.py")
        await expect(owner.at(".item.tool").first).to_be_hidden()
        await owner.at("#search-text").fill("content of b.py")
        await owner.at("#search-earlier").click()
        await expect(owner.at(".item.tool").nth(1)).to_contain_text("content of b.py")
        await expect(owner.at(".item.tool").nth(1).locator("pre")).to_be_visible()
        await play.io.stderr("", update={
            "sessionUpdate": "tool_call", "toolCallId": "s", "title": "Read of a subagent", "kind": "read",
            "_meta": {"claudeCode": {"parentToolUseId": "task"}},
        })  # fmt: skip
        await expect(owner.at(".item.reads.nested")).to_contain_text("Read of a subagent")
        play.end()
