"""Makes the gallery of the page: each state at the widths of a phone, a tablet and a desk, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from myagent.agents import AgentInfo, ToolCall, Turn, TurnEnd, TurnIO
from myagent.server import Server

SIZES = {"phone": (390, 844), "tablet": (900, 1000), "desk": (1440, 900)}
SCHEMES = ("light", "dark")
SAID = """I looked at the parser. **Two** things are wrong:

1. `seconds("45")` fails with a bare *KeyError*
2. nothing says what is allowed

| text | now | should be |
|---|---|---|
| `90s` | 90 | 90 |
| `45` | KeyError | 45 |

```python
def seconds(text: str) -> int:
    # a bare number is seconds already
    return int(text) if text.isdecimal() else parse(text, units=UNITS)
```
"""
OLD = "def seconds(text):\n    return int(text[:-1]) * UNITS[text[-1]]\n"
NEW = "def seconds(text: str) -> int:\n    text = text.strip()\n    return int(text[:-1]) * UNITS[text[-1]]\n"
FAILURE = """E   AssertionError: seconds('soon') is 7
FAILED tests/test_duration.py::test_nonsense
1 failed, 6 passed in 0.12s
"""


class Gallery:
    """An agent whose turns show everything that a turn may have."""

    info = AgentInfo("gallery", "1")

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        async def call(call_id: str, title: str, kind: str, status: str = "completed", **more: Any) -> None:
            fields = {"toolCallId": call_id, "title": title, "kind": kind, "status": status, **more}
            await io.stderr("", update={"sessionUpdate": "tool_call", **fields})

        io.tell(title=turn.prompt, usage={"used": 18_400, "size": 200_000})
        for name in ("duration.py", "units.py", "README.md"):
            await call(name, f"Read {name}", "read")
        await call("grep", "Search for KeyError", "search")
        steps = ["Read the parser", "Make it strict", "Run the tests"]
        states = ["completed", "in_progress", "pending"]
        entries = [{"content": step, "status": state} for step, state in zip(steps, states, strict=True)]
        await io.stderr("", update={"sessionUpdate": "plan", "entries": entries})
        content = {"type": "text", "text": SAID}
        await io.stdout(SAID, update={"sessionUpdate": "agent_message_chunk", "content": content})
        diff = {"type": "diff", "path": "duration.py", "oldText": OLD, "newText": NEW}
        await call("edit", "Edit duration.py", "edit", content=[diff])
        failed = {"type": "content", "content": {"type": "text", "text": FAILURE}}
        await call("test", "pytest -q", "execute", "failed", rawOutput={"exitCode": 1}, content=[failed])
        await call("push", "git push --force", "execute", "pending", rawInput={"command": "git push --force"})
        asked = ToolCall("bash", {"command": "git push --force"}, "git push --force", title="git push --force")
        answer = await io.ask(asked)
        status = "completed" if answer.kind == "allow" else "failed"
        await io.stderr("", update={"sessionUpdate": "tool_call_update", "toolCallId": "push", "status": status})
        return TurnEnd()


class Camera:
    """Takes every state at every size, in both schemes."""

    def __init__(self, browser: Browser, server: Server, images: Path) -> None:
        self._browser, self._server, self._images = browser, server, images
        self.made: list[str] = []
        self._open: list[tuple[str, BrowserContext, Page]] = []

    async def open(self, token: str | None, name: str) -> list[Page]:
        """A page of each size and scheme; they stay open until `close`."""
        pages = []
        for size, (width, height) in SIZES.items():
            for scheme in SCHEMES:
                phone = size == "phone"
                context = await self._browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, is_mobile=phone, has_touch=phone,
                )  # fmt: skip
                page = await context.new_page()
                address = self._server.url.replace("ws", "http", 1)
                if token is None:
                    await page.goto(address)
                    await page.wait_for_selector("#join-form")
                else:
                    await page.goto(address)
                    await page.fill("#join-token", token)
                    await page.fill("#join-label", name)
                    await page.click("#join-form button[type=submit]")
                    await page.wait_for_selector("#connection[data-link=live]")
                self._open.append((f"{size}-{scheme}", context, page))
                pages.append(page)
        return pages

    async def take(self, state: str) -> None:
        for name, _, page in self._open:
            await page.wait_for_timeout(250)  # the page draws a few times a second
            path = self._images / f"{state}-{name}.png"
            await page.screenshot(path=path)
            self.made.append(path.name)

    async def close(self) -> None:
        for _, context, _ in self._open:
            await context.close()
        self._open.clear()


async def take(browser: Browser, server: Server, images: Path) -> list[str]:
    """States that a server with the `Gallery` agent goes through."""
    camera = Camera(browser, server, images)
    await camera.open(None, "")
    await camera.take("join")
    await camera.close()
    owner, *_ = await camera.open(server.token, "Ann")
    await camera.take("empty")
    await camera.close()
    invite = server.invite(lifetime=3600.0).token
    await camera.open(invite, "Ben")
    await camera.take("empty-follower")
    context = await browser.new_context()
    owner = await context.new_page()
    await owner.goto(f"{server.url.replace('ws', 'http', 1)}#{server.token}")
    await owner.fill("#prompt", "Make duration.py strict")
    await owner.click("#send")
    await owner.wait_for_selector("#permission-answers button.allow:enabled")
    await camera.take("follower-waiting")
    await camera.close()
    await context.close()
    pages = await camera.open(server.token, "Ann")
    for page in pages[:1]:
        await page.wait_for_timeout(600)
    await camera.take("request")
    for page in pages:
        if await page.is_visible("#permission"):
            await page.keyboard.press("Escape")
    await camera.take("aside")
    await camera.close()
    pages = await camera.open(server.token, "Ann")
    for page in pages:
        if await page.is_visible("#permission"):
            await page.wait_for_selector("#permission-answers button.deny:enabled")
            await page.click("#permission-answers button.deny")
            break
    await pages[0].wait_for_selector(".item.end")
    await camera.take("ended")
    for page in pages:
        if await page.is_visible("#more"):
            await page.click("#more")
        await page.click("#changes")
        await page.click("#changed section[aria-labelledby=changed-files] summary")
    await camera.take("changed")
    await camera.close()
    return camera.made
