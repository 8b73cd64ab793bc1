"""The page at a relay's address: all workspaces that a tab may see, those that wait for a human first, live."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.faults.serving import script as prompt
from tests.relay.engine import PATIENCE, NatsServer, needs_engine
from tests.relay.scene import ask, drive, get, host, next_of, relay, shows, until

pytestmark = needs_engine

REPORTS = """
window.__reports = [];
document.addEventListener("securitypolicyviolation", (event) => window.__reports.push(event.violatedDirective));
"""


def test_it_lists_what_waits_first(tmp_path: Path) -> None:
    browser = pytest.importorskip("tests.web.browser")

    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "one", nats.url(), "a/one") as one,
            host(tmp_path / "two", nats.url(), "b/two") as two,
            relay(tmp_path / "copies", nats.url()) as shown,
            browser.async_playwright() as playwright,
            drive(one.server.url, one.server.token),
            drive(two.server.url, two.server.token) as owner,
        ):
            await until(lambda: shows(shown, "a/one") and shows(shown, "b/two"))
            chromium = await playwright.chromium.launch(executable_path=browser.CHROMIUM, args=browser.QUIET)
            page = await chromium.new_page()
            page.set_default_timeout(PATIENCE * 1000)
            said: list[str] = []
            page.on("pageerror", lambda error: said.append(str(error)))
            await page.add_init_script(REPORTS)
            address = shown.url.replace("ws", "http", 1)
            await page.goto(f"{address}/")
            await page.get_by_text("0 workspaces").wait_for()
            for name, hosted in (("a/one", one), ("b/two", two)):
                await page.locator("#link").fill(f"{address}/{name}/#{hosted.server.token}")
                await page.get_by_role("button", name="Add").click()
            names = "[...document.querySelectorAll('section')].map((each) => each.dataset.name)"
            await page.get_by_text("2 workspaces").wait_for()
            assert await page.evaluate(names) == ["a/one", "b/two"]
            await ask(owner, "user_message", prompt=prompt(ask=True))
            asked = await next_of(owner, "permission_request")
            await page.get_by_text("2 workspaces, 1 waiting for a human").wait_for()
            assert await page.evaluate(names) == ["b/two", "a/one"]
            assert await page.locator("section").first.locator(".waits").inner_text() == (
                "waiting for a human, less than a minute"
            )
            await page.reload()  # what was added is kept by the tab
            await page.get_by_text("2 workspaces, 1 waiting for a human").wait_for()
            decision = {"permissionRequestId": asked["permissionRequestId"], "decision": {"kind": "allow"}}
            await ask(owner, "permission_decision", **decision)
            await page.get_by_text("2 workspaces", exact=True).wait_for()
            await one.publisher.close()
            await page.get_by_text("host offline since").wait_for()
            await page.locator("#link").fill("https://elsewhere.example/x/#" + "t" * 43)
            await page.get_by_role("button", name="Add").click()
            await page.get_by_text("An address at this relay is needed").wait_for()
            assert said == [] and await page.evaluate("window.__reports") == []
            await chromium.close()

    asyncio.run(script())


def test_it_tells_nobody_which_workspaces_there_are(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url(), "secret/name") as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            await hosted.turn(lines=1)
            await until(lambda: shows(shown, "secret/name"))
            address = shown.url.replace("ws", "http", 1)
            for path in ("/", "/fleet.js", "/fleet.css", "/state/workspace.js", "/healthz"):
                with await asyncio.to_thread(urllib.request.urlopen, address + path) as answer:
                    assert b"secret" not in answer.read()
            assert (await get(shown.url, hosted.server.token, "/sessions"))[0] == 404

    asyncio.run(script())


def test_a_missing_name_and_a_search_are_told_as_what_they_are(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats") as nats,
            host(tmp_path / "host", nats.url()) as hosted,
            relay(tmp_path / "copies", nats.url()) as shown,
        ):
            await until(lambda: shows(shown))

            async def said(*arguments: str) -> str:
                command = (sys.executable, "-m", "myagent", "remote", *arguments, "--token", hosted.server.token)
                done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
                assert done.returncode != 0, json.dumps(arguments)
                return done.stdout + done.stderr

            for arguments in (("client", "--role", "follower"), ("sessions",), ("client", "--session", "x")):
                assert "the address needs a name" in await said(*arguments, "--url", shown.url)
            assert "the address needs a name" in await said("client", "--url", f"{shown.url}/team/wbe/")
            assert "a relay, which has no search" in await said(
                "sessions", "--search", "w", "--url", f"{shown.url}/team/web/"
            )

    asyncio.run(script())
