"""A real browser on the real page: Debian's Chromium, driven by Playwright, which downloads nothing here."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from puppet import PATIENCE
from wire import Scene, scene

from myagent.access.invites import boot_clock

try:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, async_playwright, expect
except ImportError:
    pytest.skip("playwright is not installed: pip install 'myagent[dev]'", allow_module_level=True)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)

QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-proxy-server",
]  # fmt: skip

# Reports of the content security policy, and anything that a hostile text managed to run, are kept by the page itself.
WATCH = """
window.__reports = [];
document.addEventListener("securitypolicyviolation", (event) => window.__reports.push(event.violatedDirective));
window.__ran = [];
window.alert = (text) => window.__ran.push(String(text));
"""


class Viewer:
    """One person's browser window on the page: what it shows and what it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        lost = "ERR_CONNECTION" in message.text or "WebSocket connection" in message.text or "ERR_EMPTY" in message.text
        refused = "status of 401" in message.text or "status of 403" in message.text
        if message.type in ("error", "warning") and not (lost or refused):
            self.complaints.append(message.text)

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    async def join(self, address: str) -> None:
        await self.page.goto(address)
        await expect(self.at("#connection")).to_have_attribute("data-link", "live")

    async def prompt(self, text: str) -> None:
        await self.at("#prompt").fill(text)
        await self.at("#send").click()

    async def answer(self, name: str) -> None:
        await self.at("#permission-answers").get_by_role("button", name=name, exact=True).click()

    async def until(self, condition: str) -> None:
        """Wait until a JavaScript expression holds in the page."""
        look = f"new Promise((done) => {{ const look = () => {condition} ? done() : setTimeout(look, 20); look(); }})"
        await asyncio.wait_for(self.page.evaluate(look), PATIENCE)

    async def seqs(self) -> list[int]:
        """The events that the page holds of the session that it shows."""
        found: list[int] = await self.page.evaluate("window.page.view.window.events.map(({seq}) => seq)")
        return found


class Stage:
    """A server, and browsers to look at it with."""

    def __init__(self, served: Scene, browser: Browser) -> None:
        self.scene, self.server, self._browser = served, served.server, browser
        self.viewers: list[Viewer] = []

    def link(self, token: str | None = None, *, port: int | None = None, path: str = "/") -> str:
        return f"http://127.0.0.1:{port or self.server.port}{path}#{token or self.server.token}"

    async def open(self, **context: Any) -> Viewer:
        """A window of its own: nothing is shared with the others."""
        made: BrowserContext = await self._browser.new_context(**context)
        made.set_default_timeout(PATIENCE * 1000)
        await made.add_init_script(WATCH)
        viewer = Viewer(await made.new_page())
        self.viewers.append(viewer)
        return viewer

    async def join(
        self, token: str | None = None, *, port: int | None = None, path: str = "/", **context: Any
    ) -> Viewer:
        viewer = await self.open(**context)
        await viewer.join(self.link(token, port=port, path=path))
        return viewer

    def invite(self, *, lifetime: float = 3600.0, label: str = "") -> tuple[str, str]:
        """A follower's token, and the id to revoke it by."""
        made = self.server.invite(lifetime=lifetime, label=label)
        return made.token, made.id

    def later(self, seconds: float) -> None:
        """Let the clock by which invites expire run ahead."""
        self.server._access.invites._clock = lambda: boot_clock() + seconds

    def revoke(self, invite_id: str) -> None:
        self.server.revoke(invite_id)


@asynccontextmanager
async def stage(workspace: Path, agent: Any = None, **settings: Any) -> AsyncIterator[Stage]:
    """Serve a directory and start a browser; at the end no page may have complained."""
    expect.set_options(timeout=PATIENCE * 1000)
    async with scene(workspace, agent, **settings) as served, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=QUIET)
        try:
            opened = Stage(served, browser)
            yield opened
            for viewer in opened.viewers:
                assert viewer.complaints == [], viewer.complaints
                assert await viewer.page.evaluate("window.__reports") == []
                assert await viewer.page.evaluate("window.__ran") == []
        finally:
            await browser.close()
