"""Makes the pictures of the README: a real server, a real turn, two browsers looking at it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import page_gallery
import terminal_screenshots
from playwright.async_api import Browser, Page, async_playwright

from myagent.agents import AgentInfo, ToolCall, Turn, TurnEnd, TurnIO
from myagent.agents.tools.tools import Tools
from myagent.server import Server, Settings

IMAGES = Path(__file__).parent.parent / "docs" / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"]
PATIENCE = 15_000  # milliseconds

BEFORE = '''"""Parses a duration such as 90s, 15m or 2h."""

UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text):
    return int(text[:-1]) * UNITS[text[-1]]
'''
OLD = "def seconds(text):\n    return int(text[:-1]) * UNITS[text[-1]]\n"
NEW = '''def seconds(text: str) -> int:
    """Seconds of a duration; a bare number is seconds already."""
    text = text.strip().lower()
    if text.isdecimal():
        return int(text)
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isdecimal():
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m or 2h")
    return int(number) * UNITS[unit]
'''
PROMPT = "Make duration.py reject nonsense, and take bare numbers as seconds."
CHECK = """python3 - <<'END'
from duration import seconds
for text in ("90s", "15m", "2h", "45"):
    print(f"{text:>4} is {seconds(text):>5} s")
END"""


class Pair:
    """An agent that does one thing, with the same tools and questions as every other: the words are written down here,
    the work is real."""

    info = AgentInfo("pair", "1")

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        tools = Tools(turn.cwd)
        io.tell(title="Make durations robust", usage={"used": 18_400, "size": 200_000})
        await self._say(io, "I will look at how durations are parsed first.\n")
        await self._tool(io, "read", "Read duration.py", "read", lambda: tools.read("duration.py"))
        await self._plan(io, ["completed", "in_progress", "pending"])
        await self._say(
            io,
            "`seconds()` takes the last character for a unit without looking, so `45` fails with a bare **KeyError**. "
            "A bare number should be seconds, and nonsense should say what is wrong:\n\n"
            '```python\nseconds("45")   # 45\nseconds("soon") # ValueError: \'soon\' is not a duration …\n```\n',
        )
        edit = await tools.edit("duration.py", OLD, NEW)
        if not await self._asked(io, "edit", edit.call, edit.launch):
            return TurnEnd("refusal")
        await self._plan(io, ["completed", "completed", "in_progress"])
        check = await tools.bash(CHECK)
        if not await self._asked(io, "check", check.call, lambda: check.launch(io.stdout, io.stderr)):
            return TurnEnd("refusal")
        await self._plan(io, ["completed"] * 3)
        await self._say(io, "Done: durations are checked, and a bare number is seconds.\n")
        return TurnEnd()

    async def _say(self, io: TurnIO, text: str) -> None:
        await io.stdout(
            text, update={"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
        )

    async def _plan(self, io: TurnIO, states: list[str]) -> None:
        steps = ["Read how durations are parsed", "Check the unit, take bare numbers", "Try it on a few durations"]
        entries = [{"content": step, "status": state} for step, state in zip(steps, states, strict=True)]
        await io.stderr("", update={"sessionUpdate": "plan", "entries": entries})

    async def _update(self, io: TurnIO, call_id: str, **fields: object) -> None:
        await io.stderr("", update={"sessionUpdate": "tool_call_update", "toolCallId": call_id, **fields})

    async def _tool(self, io: TurnIO, call_id: str, title: str, kind: str, work: Callable[[], Awaitable[str]]) -> None:
        await io.stderr("", update={"sessionUpdate": "tool_call", "toolCallId": call_id, "title": title, "kind": kind})
        text = await work()
        content = [{"type": "content", "content": {"type": "text", "text": text}}]
        await self._update(io, call_id, status="completed", content=content)

    async def _asked(self, io: TurnIO, call_id: str, call: ToolCall, work: Callable[[], Awaitable[object]]) -> bool:
        diffs = [
            {"type": "diff", "path": diff.path, "oldText": diff.old_text, "newText": diff.new_text}
            for diff in call.diffs
        ]
        begun = {"sessionUpdate": "tool_call", "toolCallId": call_id, "title": call.title, "kind": call.kind}
        await io.stderr("", update={**begun, "status": "pending", "rawInput": call.input, "content": diffs})
        answer = await io.ask(call)
        if answer.kind == "allow":
            await self._update(io, call_id, status="in_progress")
            await work()
        await self._update(io, call_id, status="completed" if answer.kind == "allow" else "failed")
        return answer.kind == "allow"


async def joined(browser: Browser, url: str, token: str, name: str, width: int, height: int, **context: object) -> Page:
    made = await browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=2, **context)  # type: ignore[arg-type]
    made.set_default_timeout(PATIENCE)
    page = await made.new_page()
    await page.goto(url)
    await page.fill("#join-token", token)
    await page.fill("#join-label", name)
    await page.click("#join-form button")
    await page.wait_for_selector("#connection[data-link=live]")
    return page


async def allowed(page: Page) -> None:
    await page.click("#permission-answers button.allow")


async def take(directory: Path, chromium: str) -> list[str]:
    (directory / "duration.py").write_text(BEFORE)
    server = Server(directory, Pair(), Settings())
    async with server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        url = server.url.replace("ws", "http", 1)
        invite = server.invite(lifetime=3600.0).token
        owner = await joined(browser, url, server.token, "Ann", 1280, 800)
        phone = await joined(browser, url, invite, "Ben", 390, 844, is_mobile=True, has_touch=True, color_scheme="dark")
        await owner.fill("#prompt", PROMPT)
        await owner.click("#send")
        await owner.wait_for_selector("#permission-answers button.allow:enabled")
        await phone.wait_for_selector("#waiting .request")
        await owner.screenshot(path=IMAGES / "owner.png")
        await phone.screenshot(path=IMAGES / "follower-phone.png")
        await allowed(owner)
        await owner.wait_for_selector("#permission-title:has-text('python3')")
        await allowed(owner)
        await owner.wait_for_selector(".item.end")
        await owner.screenshot(path=IMAGES / "session.png")
        for page in (owner, phone):
            await page.context.close()
        (directory / "duration.py").write_text(BEFORE)
        made = await terminal_screenshots.take(server, browser, IMAGES, PROMPT)
        await browser.close()
    return ["owner.png", "follower-phone.png", "session.png", *made]


async def take_gallery(directory: Path, chromium: str) -> list[str]:
    """The page in its states; it is in `docs/images/page`."""
    images = IMAGES / "page"
    images.mkdir(parents=True, exist_ok=True)
    async with Server(directory, page_gallery.Gallery(), Settings()) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        made = await page_gallery.take(browser, server, images)
        await browser.close()
    return [f"page/{name}" for name in made]


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "durations"
        directory.mkdir()
        made = asyncio.run(take(directory, chromium))
        (gallery := Path(place) / "gallery").mkdir()
        made += asyncio.run(take_gallery(gallery, chromium))
    print(f"{IMAGES}: {', '.join(made)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
