"""Real agents through the ACP host, against a scripted model on loopback; `real.py` says how they are installed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agents.contract import check_updates
from tests.agents.model_server import CONTENT, WORDS, model_server
from tests.agents.real import (
    CLAUDE,
    CLAUDE_P,
    CODEX,
    COPILOT,
    EVERY,
    GEMINI,
    KIMI,
    OPENCODE,
    VIBE,
    ZED_CODEX,
    Real,
    a_minute_later,
)
from tests.agents.recorder import ALLOW, DENY, Recorder

from myagent.agents import Turn
from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.presets import preset
from myagent.agents.claude.agent import ClaudePrintAgent
from myagent.agents.tripwire import RanUnasked
from myagent.core.messages import PermissionMode
from myagent.exceptions import AgentUnavailable


@pytest.fixture(params=EVERY, ids=lambda real: real.name)
def real(request: pytest.FixtureRequest) -> Real:
    found: Real = request.param
    found.need()
    return found


@dataclass
class Workplace:
    """A workspace and a home of its own, with a scripted model; `hosted` starts the agent there."""

    real: Real
    workspace: Path
    home: Path
    url: str

    @asynccontextmanager
    async def hosted(self, **settings: Any) -> AsyncIterator[AcpAgent | ClaudePrintAgent]:
        command = (str(self.real.path), *self.real.command[1:])
        env = self.real.env(self.home, self.url)
        host = ClaudePrintAgent if self.real is CLAUDE_P else AcpAgent
        agent = host(command, cwd=self.workspace, **{"preset": preset(self.real.name), "env": env, **settings})
        await agent.start()
        try:
            yield agent
        finally:
            await agent.close()

    def turn(self, prompt: str, earlier: str | None = None, mode: PermissionMode = "default") -> Turn:
        return Turn("one", "turn", prompt, mode, self.workspace, earlier)


def at_work(real: Real, tmp_path: Path, test: Callable[[Workplace], Awaitable[None]]) -> None:
    async def main() -> None:
        workspace, home = tmp_path / "workspace", tmp_path / "home"
        workspace.mkdir()
        home.mkdir()
        async with asyncio.timeout(180), model_server() as url:
            await test(Workplace(real, workspace, home, url))
        assert psutil.Process().children(recursive=True) == []

    asyncio.run(main())


def test_words_stream_and_a_write_is_asked_for(real: Real, tmp_path: Path) -> None:
    """Denied, the file does not exist; allowed, it does. One session, so the agent also bears a denial."""

    async def test(place: Workplace) -> None:
        file = place.workspace / "hello.txt"
        prompt = f"STUB please write FILE={file} now"
        async with place.hosted() as agent:
            assert re.match(r"asks (?:to leave its sandbox )?\(mode [\w:/.#-]+\)", agent.info.note)
            denied = Recorder(DENY)
            end = await agent.run(place.turn(prompt), denied)
            assert not file.exists()
            assert len(denied.asked) == 1
            assert "denied: not today" in denied.err
            check_updates(denied.updates)

            async def nothing_yet() -> None:
                assert not file.exists()

            allowed = Recorder(ALLOW, nothing_yet)
            end = await agent.run(place.turn(prompt), allowed)
            assert (end.stop_reason, end.message) == ("end_turn", None)
            assert file.read_text() == CONTENT
            (call,) = allowed.asked
            assert CONTENT.strip() in call.text
            assert str(file) in call.text
            assert call.kind == ("execute" if real in (CODEX, ZED_CODEX) else "edit")
            assert "".join(WORDS).strip() in allowed.out
            assert allowed.out.rstrip().endswith("done.")
            check_updates(allowed.updates)
            assert not agent.tally["garbage"], agent.tally

    at_work(real, tmp_path, test)


def test_plan_mode_writes_nothing(real: Real, tmp_path: Path) -> None:
    async def test(place: Workplace) -> None:
        file = place.workspace / "hello.txt"
        async with place.hosted() as agent:
            told = Recorder(DENY)  # as the host answers in plan mode
            await agent.run(place.turn(f"STUB please write FILE={file} now", mode="plan"), told)
            assert told.state["mode"] == preset(real.name).plan or told.asked
            assert not file.exists()

    at_work(real, tmp_path, test)


def test_bypassing_writes(real: Real, tmp_path: Path) -> None:
    """The agent's own mode for that, or, where it has none or refuses it, a question that the host answers."""

    async def test(place: Workplace) -> None:
        file = place.workspace / "hello.txt"
        async with place.hosted() as agent:
            told = Recorder(ALLOW)
            await agent.run(place.turn(f"STUB please write FILE={file} now", mode="bypassPermissions"), told)
            assert file.read_text() == CONTENT
            assert told.state["mode"] == preset(real.name).bypass or told.asked

    at_work(real, tmp_path, test)


def test_opencode_by_itself_would_not_ask(tmp_path: Path) -> None:
    """Negative control: without what its preset sets, it writes, and nobody was asked: it is found out and stopped."""
    OPENCODE.need()

    def setup(home: Path, url: str) -> dict[str, str]:
        return OPENCODE.setup(home, url) | {"OPENCODE_PERMISSION": "{}"}

    async def test(place: Workplace) -> None:
        file = place.workspace / "hello.txt"
        async with place.hosted() as agent:
            told = Recorder(DENY)
            with pytest.raises(RanUnasked):
                await agent.run(place.turn(f"STUB please write FILE={file} now"), told)
            assert (told.asked, len(told.unasked_calls)) == ([], 1)
            assert file.exists()

    at_work(replace(OPENCODE, setup=setup), tmp_path, test)


# What a directory may hold that would let the agent write there without asking.
LENIENT: dict[str, tuple[str, Any]] = {
    "gemini": (".gemini/settings.json", {"tools": {"allowed": ["write_file"]}}),
    "opencode": (".opencode/opencode.json", {"agent": {"build": {"permission": {"edit": "allow"}}}}),
    "qwen": (".qwen/settings.json", {"permissions": {"allow": ["Edit"]}}),
    "claude": (".claude/settings.json", {"permissions": {"allow": ["Write"]}}),
    "codex": (".codex/config.toml", 'approval_policy = "never"\nsandbox_mode = "danger-full-access"\n'),
    "codex-zed": (".codex/config.toml", 'approval_policy = "never"\nsandbox_mode = "danger-full-access"\n'),
    "copilot": (".github/copilot/settings.json", {"allowedTools": ["write"], "permissions": {"allow": ["write"]}}),
    "kimi": (".kimi-code/config.toml", 'default_permission_mode = "yolo"\n'),
    "vibe": (".vibe/config.toml", '[tools.write_file]\npermission = "always"\n'),
    "claude-p": (".claude/settings.json", {"permissions": {"defaultMode": "acceptEdits"}}),
}


TRUSTING_NONE = (GEMINI, CODEX, ZED_CODEX, COPILOT, KIMI, VIBE)  # no directory, by themselves


@pytest.mark.parametrize("supervised", [True, False])
def test_it_asks_whatever_the_directory_allows(real: Real, supervised: bool, tmp_path: Path) -> None:
    """Negative control: without what its preset does for that, it writes; some trust no directory by themselves."""
    known = preset(real.name)
    bare = replace(
        known, env={"OPENCODE_PERMISSION": known.env.get("OPENCODE_PERMISSION", "")}, files={}, session_meta={}
    )
    settings = {"allow_unsupervised": True} if real is CLAUDE_P else {"preset": bare}

    async def test(place: Workplace) -> None:
        name, content = LENIENT[real.name]
        (place.workspace / name).parent.mkdir(parents=True)
        (place.workspace / name).write_text(content if isinstance(content, str) else json.dumps(content))
        file = place.workspace / "hello.txt"
        async with place.hosted(on_unasked="tell", **({} if supervised else settings)) as agent:
            told = Recorder(DENY)
            await agent.run(place.turn(f"STUB please write FILE={file} now"), told)
            asked = supervised or real in TRUSTING_NONE
            assert (len(told.asked), file.exists()) == (int(asked), not asked)
            assert len(told.unasked_calls) == int(not asked and real is not CLAUDE_P), "what it did alone is found out"

    at_work(real, tmp_path, test)


@pytest.mark.parametrize("chooser", [GEMINI, CLAUDE, CLAUDE_P], ids=lambda real: real.name)
def test_a_model_that_it_offers_can_be_chosen(chooser: Real, tmp_path: Path) -> None:
    chooser.need()

    async def test(place: Workplace) -> None:
        async with place.hosted() as agent:
            (row,) = [row for row in agent.info.state["config"] if row["id"] == "model"]
        other = next(value for value in reversed(row["values"]) if value != row["value"])
        async with place.hosted(options={"model": other}) as agent:
            assert f"model={other}" in agent.info.note
            (row,) = [row for row in agent.info.state["config"] if row["id"] == "model"]
            assert row["value"] == other
        with pytest.raises(AgentUnavailable, match=r"does not offer model=nonesuch; it offers"):
            async with place.hosted(options={"model": "nonesuch"}):
                pass

    at_work(chooser, tmp_path, test)


def test_cancel_in_the_middle_of_an_answer(real: Real, tmp_path: Path) -> None:
    async def test(place: Workplace) -> None:
        async with place.hosted() as agent:
            told = Recorder()
            running = asyncio.create_task(agent.run(place.turn("SLOW please"), told))
            await told.until(lambda: "word1 " in told.out)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            words = len(told.said)
            told = Recorder()
            end = await agent.run(place.turn("hello"), told)  # the same process goes on
            assert (end.stop_reason, told.out.strip()) == ("end_turn", "ok")
            assert words < 1000

    at_work(real, tmp_path, test)


def test_a_conversation_that_claude_has_lost_begins_anew(tmp_path: Path) -> None:
    CLAUDE_P.need()

    async def test(place: Workplace) -> None:
        async with place.hosted() as agent:
            told, lost = Recorder(), "00000000-0000-4000-8000-000000000000"
            end = await agent.run(place.turn("hello", lost), told)
            assert (end.stop_reason, told.out.strip()) == ("end_turn", "ok")
            assert "lost its earlier session" in told.err
            assert end.agent_session_id not in (None, lost)

    at_work(CLAUDE_P, tmp_path, test)


def test_a_conversation_goes_on_after_a_restart(real: Real, tmp_path: Path) -> None:
    async def test(place: Workplace) -> None:
        async with place.hosted() as agent:
            first = await agent.run(place.turn("keep MARKER-42 in mind"), Recorder())
            assert first.stop_reason == "end_turn"
        a_minute_later(place.home)
        async with place.hosted() as agent:
            told = Recorder()
            end = await agent.run(place.turn("RECALL it", first.agent_session_id), told)
            assert (told.out.strip(), told.err) == ("MARKER-42", "")
            assert end.agent_session_id == first.agent_session_id

    at_work(real, tmp_path, test)
