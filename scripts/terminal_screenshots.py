"""Makes the pictures of the full-screen client: an owner who is asked, and a follower who watches that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser

from myagent.cli.commands.attach import pages
from myagent.client import connect
from myagent.client.address import parse
from myagent.server import Server
from myagent.tui.app import Attach

SIZE = (100, 36)
PATIENCE = 15.0  # seconds
# Textual's pictures load a font from elsewhere; these are to be whole by themselves.
FONTS = re.compile(r"@font-face\s*\{[^}]*\}\s*")


@asynccontextmanager
async def sitting(server: Server, label: str, role: Any = None) -> AsyncIterator[tuple[Attach, Any]]:
    client = connect(server.url, token=server.token, label=label, role=role, wants=("updates",))
    async with client:
        app = Attach(client, pages(parse(server.url), server.token))
        async with app.run_test(size=SIZE) as pilot:
            yield app, pilot


async def until(pilot: Any, found: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not found():
            await pilot.pause(0.05)
    await pilot.pause(0.3)  # for what is drawn with a delay


async def take(server: Server, browser: Browser, images: Path, prompt: str) -> list[str]:
    async with sitting(server, "Ann") as (owner, ann), sitting(server, "Ben", "follower") as (follower, ben):
        owner.prompt_box.put(prompt)
        await ann.press("enter")
        await until(ann, lambda: owner._question is not None and owner._question.armed)
        await until(ben, lambda: bool(follower.client.requests) and bool(follower.timeline.lines))
        made = [
            await picture(owner, "myagent remote attach: the owner is asked", browser, images / "attach-owner"),
            await picture(follower, "myagent remote attach: a follower", browser, images / "attach-follower"),
        ]
        await ann.press("n")
        await until(ann, lambda: not owner.client.requests)
    return [name for names in made for name in names]


async def picture(app: Attach, title: str, browser: Browser, path: Path) -> list[str]:
    """Write a picture as SVG and as PNG."""
    svg = FONTS.sub("", app.export_screenshot(title=title, simplify=True)).replace("Fira Code", "monospace")
    path.with_suffix(".svg").write_text(svg)
    page = await browser.new_page(viewport={"width": 1280, "height": 960}, device_scale_factor=2)
    await page.set_content(f"<body style='margin:0'>{svg}</body>")
    await page.locator("svg").first.screenshot(path=path.with_suffix(".png"), omit_background=True)
    await page.close()
    return [f"{path.name}.svg", f"{path.name}.png"]
