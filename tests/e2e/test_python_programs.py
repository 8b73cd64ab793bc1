"""The programs of docs/python.md, as they stand there, each in a directory that is served."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

from serving import process

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BOT, COLLECTOR, SERVER = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SECONDS = 60.0


async def run(program: str, directory: Path) -> str:
    def ran() -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-W", "error", "-c", program]
        return subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False)

    done = await asyncio.to_thread(ran)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def test_the_bot_allows_what_its_policy_allows_and_the_collector_has_it_all(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    async with process(tmp_path):
        assert await run(BOT, tmp_path) == "end_turn 0 built\nend_turn 1\n"
        assert (tmp_path / "build").is_dir()
        await run(COLLECTOR, tmp_path)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[0]["prompt"]) == ("prompt", "!echo built")
    assert [event["outcome"] for event in events if event["type"] == "permission_resolved"] == ["allow"]
    assert events[-1]["type"] == "terminal_state"


async def test_a_server_in_a_program_asks_and_answers(tmp_path: Path) -> None:
    link, answer = (await run(SERVER, tmp_path)).splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", link)
    assert answer == "HELLO"
