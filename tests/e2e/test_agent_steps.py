"""Every real agent through the whole product, step by step; `make agents` makes the table of docs/agents.md of it.

What each step showed is kept in `steps/NAME.json` beside the agents, also of a run in which a step failed.
"""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from serving import process, refused
from test_real_agents import Workplace, at_work, text
from tests.agents.hostile import plant, started
from tests.agents.model_server import CONTENT
from tests.agents.real import AGENTS, CLAUDE_P, EVERY, Real, a_minute_later
from tests.agents.test_real_hostile import NAMED
from wire import Client, Message, Scene, decide

RESULTS = AGENTS / "steps"
STEPS = (
    "file absent while asked",
    "allow",
    "deny write",
    "deny shell",
    "cancel",
    "next prompt",
    "plan write",
    "plan shell",
    "bypass",
    "asks again",
    "kill -9",
    "recall",
    "restart",
    "recall after it",
    "hostile directory",
)

# What an agent is known not to do; the words stand in the table.
KNOWN = {("gemini", "recall after it"): "it lost a session that it had loaded once before"}


class Sheet:
    """What became of each step: "yes", or what was seen instead."""

    def __init__(self, real: Real) -> None:
        self.real, self.version = real, ""
        self.rows: dict[str, str] = {}

    def note(self, step: str, held: bool, otherwise: str = "no") -> None:
        assert step in STEPS
        self.rows[step] = "yes" if held else KNOWN.get((self.real.name, step), otherwise)

    def keep(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        rows = {step: self.rows.get(step, "not reached") for step in STEPS}
        (RESULTS / f"{self.real.name}.json").write_text(json.dumps({"version": self.version, "steps": rows}, indent=1))


class Driver:
    """An owner, and the session that all steps share."""

    def __init__(self, owner: Client, session: str | None = None) -> None:
        self.owner, self.session = owner, session

    async def turn(self, prompt: str, *, allow: bool = False, mode: str = "default") -> tuple[list[Message], Message]:
        """What was asked, and how it ended."""
        here = {} if self.session is None else {"sessionId": self.session}
        turn = await self.owner.send("user_message", prompt=prompt, permissionMode=mode, **here)
        asked = []
        while True:
            message = await self.owner.next()
            if message["type"] == "permission_request" and message["id"] == turn:
                asked.append(message)
                await decide(self.owner, message, "allow" if allow else "deny")
            elif message["type"] == "terminal_state" and message["id"] == turn:
                self.session = message["sessionId"]
                return asked, message

    def said(self, end: Message) -> str:
        return text(self.owner, end["id"]).strip()


@pytest.fixture(params=EVERY, ids=lambda real: real.name)
def real(request: pytest.FixtureRequest) -> Real:
    found: Real = request.param
    found.need()
    return found


async def test_every_step(real: Real, tmp_path: Path) -> None:
    sheet = Sheet(real)
    try:
        async with at_work(real, tmp_path) as place:
            session = await _at_first(place, sheet)
            a_minute_later(place.home)
            async with place.served() as (_, here):
                sheet.note("restart", True)
                driver = Driver(await here.join(), session)
                _, end = await driver.turn("RECALL it")
                sheet.note("recall after it", driver.said(end) == "MARKER-42", driver.said(end)[:40] or "no")
            await _hostile(place, sheet, tmp_path)
    finally:
        sheet.keep()
    known = {step: words for (name, step), words in KNOWN.items() if name == real.name}
    missed = {step: seen for step, seen in sheet.rows.items() if seen not in ("yes", known.get(step))}
    assert list(sheet.rows) == list(STEPS) and not missed, sheet.rows


async def _at_first(place: Workplace, sheet: Sheet) -> str:
    """All that happens before the server is started again; gives the session."""
    ran = place.workspace / "ran.txt"
    shell = f"STUB please RUN={quote(f'touch {ran}')} now"
    async with place.served("--allow-bypass") as (server, here):
        driver = Driver(await here.join())
        sheet.version = _version(server.said)

        turn = await driver.owner.send("user_message", prompt=place.prompt)
        request = await driver.owner.until("permission_request", id=turn)
        driver.session = request["sessionId"]
        sheet.note("file absent while asked", not place.file.exists())
        await decide(driver.owner, request, "allow")
        await driver.owner.until("terminal_state", id=turn)
        sheet.note("allow", place.file.exists() and place.file.read_text() == CONTENT)
        place.file.unlink(missing_ok=True)

        asked, _ = await driver.turn(place.prompt)
        sheet.note("deny write", bool(asked) and not place.file.exists())
        asked, _ = await driver.turn(shell)
        sheet.note("deny shell", bool(asked) and not ran.exists(), "not asked" if not asked else "no")

        sheet.note("cancel", await _cancelled(driver))
        _, end = await driver.turn("hello, keep MARKER-42 in mind")
        sheet.note("next prompt", (end["exitCode"], driver.said(end)) == (0, "ok"))

        await driver.turn(place.prompt, mode="plan")
        sheet.note("plan write", not place.file.exists())
        await driver.turn(shell, mode="plan")
        sheet.note("plan shell", not ran.exists())
        asked, _ = await driver.turn(place.prompt, mode="bypassPermissions")
        sheet.note("bypass", not asked and place.file.exists())
        place.file.unlink(missing_ok=True)
        asked, _ = await driver.turn(place.prompt)
        sheet.note("asks again", bool(asked) and not place.file.exists())

        a_minute_later(place.home)
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children or place.real is CLAUDE_P  # whose process is there for each turn
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL)
        psutil.wait_procs(children)
        _, end = await driver.turn("RECALL it")
        sheet.note("kill -9", end["exitCode"] == 0)
        sheet.note("recall", driver.said(end) == "MARKER-42", driver.said(end)[:40] or "no")
        assert driver.session is not None
        return driver.session


async def _cancelled(driver: Driver) -> bool:
    owner = driver.owner
    turn = await owner.send("user_message", prompt="SLOW please", sessionId=driver.session)
    while "word1 " not in text(owner, turn):
        await owner.next()
    await owner.send("cancel", sessionId=driver.session)
    end = await owner.until("terminal_state", id=turn)
    return bool((end["exitCode"], end["stopReason"]) == (130, "cancelled"))


async def _hostile(place: Workplace, sheet: Sheet, tmp_path: Path) -> None:
    """Where the settings of the directory name programs: none starts, or the server says them and refuses."""
    hostile, ran = tmp_path / "hostile", tmp_path / "ran"
    hostile.mkdir()
    plant(hostile, ran)
    subprocess.run(["git", "init", "--quiet", str(hostile)], check=True)
    options = ("--agent", place.real.name)
    if place.real in NAMED:
        code, said = await refused(hostile, *options, env=place.env, stdin=subprocess.DEVNULL)
        sheet.note("hostile directory", code == 3 and "--trust-directory" in said and started(ran) == [], said[:60])
        return
    async with process(hostile, *options, env=place.env) as (server, here):
        await _greets(here, hostile)
        assert await server.stop() == 0
    sheet.note("hostile directory", started(ran) == [], ", ".join(started(ran)))


async def _greets(here: Scene, workspace: Path) -> None:
    driver = Driver(await here.join())
    for prompt in ("hello", f"STUB please write FILE={workspace}/hello.txt now"):
        await driver.turn(prompt)


def _version(said: str) -> str:
    """Of what `serve` says; the agent's own version is looked for by `make agents`."""
    return next((line.partition("agent ")[2] for line in said.splitlines() if line.startswith("[remote] agent ")), "")
