"""The full-screen client in Textual's own test pilot, over a real server whose agent the test plays."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual", reason="the extra myagent[tui] is not installed")

from textual.events import Key

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))

from puppet import Puppet  # type: ignore[import-not-found]

from myagent.cli.commands.attach import pages
from myagent.client import connect
from myagent.client.address import parse
from myagent.server import Server, Settings
from myagent.tui.app import Attach

PATIENCE = 15.0  # seconds that a test waits for what must come
QUIET = 0.05  # seconds, instead of the time that a human needs
ALONE = 0.02


class Sitting:
    """One full-screen client, and what can be read on it."""

    def __init__(self, app: Attach, pilot: Any) -> None:
        self.app, self.pilot = app, pilot
        self.said: list[str] = []  # notices, which are on the screen for a moment only
        notify = app.notify

        def noted(message: str, **how: Any) -> None:
            self.said.append(message)
            notify(message, **how)

        app.notify = noted  # type: ignore[method-assign, assignment]

    @property
    def lines(self) -> list[str]:
        """What the terminal shows, line by line."""
        screen = self.app.screen
        width, height = self.app.size
        return ["".join(segment.text for segment in strip).rstrip() for strip in _rows(screen, width, height)]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def until(self, wanted: str | Callable[[], bool]) -> None:
        """Wait until the screen shows something, or something is the case."""
        found = wanted if callable(wanted) else lambda: wanted in self.text
        try:
            async with asyncio.timeout(PATIENCE):
                while not found():
                    await self.pilot.pause(0.02)
        except TimeoutError:
            raise AssertionError(f"{wanted} is not on the screen:\n{self.text}") from None

    async def told(self, wanted: str) -> None:
        await self.until(lambda: any(wanted in each for each in self.said))

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def burst(self, *keys: str) -> None:
        """Keys that come in one piece, as from a paste or over a slow line: nothing is handled between them."""
        for key in keys:
            self.app.post_message(Key(key, key if len(key) == 1 else None))
        await self.pilot.pause()

    async def prompt(self, text: str) -> None:
        self.app.prompt_box.put(text)
        await self.press("enter")

    async def asked(self) -> Any:
        """Wait for a permission question that takes answers."""
        await self.until(lambda: self.app.requests.question is not None and self.app.requests.question.armed)
        return self.app.requests.question


def _rows(screen: Any, width: int, height: int) -> list[list[Any]]:
    from rich.segment import Segment

    lines = screen._compositor.render_strips()
    return [[Segment(part.text) for part in strip] for strip in lines][:height]


class Room:
    """A server with a played agent; clients sit down at it."""

    def __init__(self, server: Server, puppet: Puppet) -> None:
        self.server, self.puppet = server, puppet

    @asynccontextmanager
    async def sit(
        self,
        *,
        label: str = "anna",
        role: Any = None,
        session: str | None = None,
        size: tuple[int, int] = (80, 24),
        url: str | None = None,
        token: str | None = None,
        quiet: float = QUIET,
        alone: float = ALONE,
    ) -> AsyncIterator[Sitting]:
        shown: list[Attach] = []
        url, token = url or self.server.url, token or self.server.token
        client = connect(
            url, token=token, role=role, label=label, wants=("updates",), reconnect=True,
            on_state=lambda state: [app.state_changed(state) for app in shown] and None, backoff=lambda _: 0.05,
        )  # fmt: skip
        async with client:
            app = Attach(client, pages(lambda: (parse(url), token)), session=session, quiet=quiet, alone=alone)
            async with app.run_test(size=size, notifications=True) as pilot:
                shown.append(app)
                yield Sitting(app, pilot)
                shown.clear()


@pytest.fixture
def room(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Room]:
        puppet = Puppet()
        async with Server(tmp_path, puppet, Settings(**settings)) as server:
            yield Room(server, puppet)

    return make
