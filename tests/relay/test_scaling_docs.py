"""docs/scaling.md, run from its own text: the engine as shipped, a host, a relay, a watcher; real processes."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.relay.engine import FOUND, PATIENCE, NatsServer, needs_engine

pytestmark = needs_engine

ROOT = Path(__file__).parents[2]


def command(of: str) -> str:
    """What the page says to run."""
    page = (ROOT / "docs" / "scaling.md").read_text()
    found = re.search(rf"<!-- run: {of} -->\n```sh\n(.*?)```", page, re.DOTALL)
    assert found is not None, of
    return found[1].strip()


@asynccontextmanager
async def running(line: str, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    words = shlex.split(line)
    assert words[0] == "myagent"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "myagent", *words[1:], cwd=directory, env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), PATIENCE)


async def said(process: asyncio.subprocess.Process, pattern: str) -> str:
    """The first line from now on in which a pattern is."""
    assert process.stdout is not None
    heard = []
    while line := (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode():
        heard.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError("".join(heard))


def test_one_machine_to_try_it(tmp_path: Path) -> None:
    async def script() -> None:
        assert "nats-server -c examples/nats.conf" in command("engine") and FOUND is not None
        async with AsyncExitStack() as stack:
            nats = await stack.enter_async_context(NatsServer(tmp_path / "nats", shipped=True))

            def here(line: str, port: int) -> str:
                assert "127.0.0.1:4222" in line or "127.0.0.1:8766" in line
                return line.replace("127.0.0.1:4222", f"127.0.0.1:{nats.port}").replace(":8766", f":{port}")

            host = await stack.enter_async_context(running(here(command("host"), 0) + " --port 0", tmp_path))
            await said(host, "published as team/web")
            relay = await stack.enter_async_context(running(here(command("relay"), 0) + " --port 0", tmp_path))
            address = await said(relay, "listening")
            assert "/team/web/" in await said(relay, "shows ")
            port = int(address.strip().rpartition(":")[2])
            watch = await stack.enter_async_context(running(here(command("watch"), port), tmp_path))
            await said(watch, "role: follower")
            async with running("myagent remote client --prompt 'read README.md'", tmp_path) as owner:
                await said(owner, "session: ")
                await said(watch, "README.md")

    asyncio.run(script())
