"""Opening the page on a phone: connections, requests, bytes and time, over a link of 150 ms and 1.6 Mbit/s.

Chromium throttles itself, as its developer tools do: each request waits for the latency, a TCP handshake does not.
Bytes are those of headers and bodies as they come, before they are unpacked; what is said on the WebSocket is not among
them. Time ends when the session is connected and its last event is drawn.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Effort, Figure, Result, Spread, Verdict, pick
from benchmarks.tools import Missing, Tools
from myagent import CommandAgent, Server, connect

LATENCY_MS = 150
BYTES_PER_SECOND = 1_600_000 / 8
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"]
SHOWN = """() => new Promise((done) => { const look = () =>
  document.querySelector('#connection[data-link=live]') && document.querySelector('#stream .item.end')
    ? done(performance.now()) : setTimeout(look, 5); look(); })"""
GOALS: dict[str, float] = {"connections": 2, "requests": 8, "kB": 60, "seconds": 1.5}


def run(_: Tools, effort: Effort) -> Result:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        import playwright.async_api  # noqa: F401 - of an extra
    except ImportError:
        raise Missing("playwright is not installed") from None
    if chromium is None:
        raise Missing("Chromium is not installed")
    visits = asyncio.run(_visits(chromium, pick(effort, 10, 5, 1)))
    spreads = {
        when: {key: Spread(tuple(each[key] for each in found)) for key in GOALS} for when, found in visits.items()
    }
    verdicts = [
        Verdict(f"opening the page, {when}: {key}", f"≤ {GOALS[key]:g}", f"{spread}", spread.median <= GOALS[key])
        for when, each in spreads.items()
        for key, spread in each.items()
    ]
    figure = Figure(
        "Opening the page at 150 ms, 1.6 Mbit/s", "seconds", ["until a session is shown"],
        {when: [each["seconds"]] for when, each in spreads.items()},
    )  # fmt: skip
    return Result("page", verdicts, {"visits": visits}, figure)


async def _visits(chromium: str, repetitions: int) -> dict[str, list[dict[str, float]]]:
    from playwright.async_api import async_playwright

    found: dict[str, list[dict[str, float]]] = {"first time": [], "again": []}
    with tempfile.TemporaryDirectory() as place:
        async with Server(Path(place), CommandAgent()) as server, async_playwright() as playwright:
            async with connect(server.url, token=server.token) as owner:
                await owner.run("help")
            browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            for _ in range(repetitions):
                context = await browser.new_context(viewport={"width": 390, "height": 844})
                for when in found:
                    found[when].append(await _visit(context, server))
                await context.close()
            await browser.close()
    return found


async def _visit(context: Any, server: Any) -> dict[str, float]:
    page = await context.new_page()
    tools = await context.new_cdp_session(page)
    counted = {"requests": 0.0, "bytes": 0.0}
    connections: set[int] = set()

    def came(event: dict[str, Any]) -> None:
        if connection := event["response"].get("connectionId"):  # else it came from a cache
            connections.add(connection)
            counted["requests"] += 1

    def opened(_: object) -> None:
        connections.add(-1)
        counted["requests"] += 1

    def took(event: dict[str, Any]) -> None:
        counted["bytes"] += event["encodedDataLength"]

    tools.on("Network.responseReceived", came)
    tools.on("Network.loadingFinished", took)
    tools.on("Network.webSocketCreated", opened)
    await tools.send("Network.enable")
    await tools.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False, "latency": LATENCY_MS,
            "downloadThroughput": BYTES_PER_SECOND, "uploadThroughput": BYTES_PER_SECOND,
        },
    )  # fmt: skip
    await page.goto(f"{server.url.replace('ws', 'http', 1)}#{server.token}")
    seconds = await page.evaluate(SHOWN) / 1000
    await page.close()
    return {
        "connections": len(connections), "requests": counted["requests"], "kB": counted["bytes"] / 1000,
        "seconds": seconds,
    }  # fmt: skip
