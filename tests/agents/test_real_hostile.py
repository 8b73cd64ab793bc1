"""Real agents in a directory whose settings name programs to start: none starts that nobody accepted.

Each has its negative control: without what keeps it from that, the planted programs do start.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agents.hostile import plant, started
from tests.agents.real import CLAUDE_P, CODEX, COPILOT, EVERY, GEMINI, KIMI, OPENCODE, VIBE, ZED_CODEX, Real
from tests.agents.recorder import ALLOW, Recorder
from tests.agents.test_real_agents import Workplace, at_work

from myagent.agents.acp.directory import StartsPrograms
from myagent.agents.acp.operator import Operator
from myagent.agents.acp.presets import preset

NAMED = (CODEX, ZED_CODEX, COPILOT, OPENCODE)  # those without a switch


@pytest.fixture(params=EVERY, ids=lambda real: real.name)
def real(request: pytest.FixtureRequest) -> Real:
    found: Real = request.param
    found.need()
    return found


async def worked(place: Workplace, **settings: Any) -> None:
    """A prompt, and a write that is allowed."""
    file = place.workspace / "hello.txt"
    async with place.hosted(**settings) as agent:
        assert "not known" not in agent.info.note
        for prompt in ("hello", f"STUB please write FILE={file} now"):
            end = await agent.run(place.turn(prompt), Recorder(ALLOW))
            assert (end.stop_reason, end.message) == ("end_turn", None)
    assert file.exists()


def test_nothing_starts_that_nobody_accepted(real: Real, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    async def test(place: Workplace) -> None:
        plant(place.workspace, ran)
        if real in NAMED:
            with pytest.raises(StartsPrograms) as refusal:
                await worked(place)
            assert refusal.value.programs
        else:
            await worked(place)
        assert started(ran) == []

    at_work(real, tmp_path, test)


def _bare(place: Workplace) -> dict[str, Any]:
    """Without what its preset does for that."""
    if place.real is CLAUDE_P:
        return {"allow_unsupervised": True}
    known = preset(place.real.name)
    keep = {key: value for key, value in known.env.items() if key == "OPENCODE_PERMISSION"}
    return {"preset": replace(known, env=keep, files={}, session_meta={}), "on_unasked": "tell"}


def _accepted(place: Workplace) -> dict[str, Any]:
    return {"operator": Operator(trusts_directory=True)}


def _gemini_trusts(place: Workplace) -> dict[str, Any]:
    return {"env": place.real.env(place.home, place.url) | {"GEMINI_CLI_TRUST_WORKSPACE": "true"}}


def _codex_trusts(place: Workplace) -> dict[str, Any]:
    def setup(home: Path, url: str) -> dict[str, str]:
        env = ZED_CODEX.setup(home, url)
        with (home / "codex" / "config.toml").open("a") as config:
            config.write(f'[projects.{json.dumps(str(place.workspace))}]\ntrust_level = "trusted"\n')
        return env

    place.real = replace(ZED_CODEX, setup=setup)
    return _accepted(place)


def _vibe_trusts(place: Workplace) -> dict[str, Any]:
    env = place.real.env(place.home, place.url)
    (place.home / ".vibe" / "trusted_folders.toml").write_text(
        f"trusted = [{json.dumps(str(place.workspace))}]\nuntrusted = []\n"
    )
    return {"env": env}


def _kimi_own(place: Workplace) -> dict[str, Any]:
    """Its own settings in the home start what the same ones in the directory do not."""
    shutil.copytree(place.workspace / ".kimi-code", place.home / ".kimi-code")
    return {}


CONTROLS: dict[Real, Callable[[Workplace], dict[str, Any]]] = {
    GEMINI: _gemini_trusts,
    CODEX: _accepted,
    ZED_CODEX: _codex_trusts,
    COPILOT: _accepted,
    OPENCODE: _accepted,
    VIBE: _vibe_trusts,
    KIMI: _kimi_own,
}


def test_without_that_they_do_start(real: Real, tmp_path: Path) -> None:
    """Negative control: the planted programs are of a kind that this agent starts."""
    ran = tmp_path / "ran"

    async def test(place: Workplace) -> None:
        plant(place.workspace, ran)
        await worked(place, **CONTROLS.get(real, _bare)(place))
        own = re.sub(r"-.*", "", real.name)
        assert any(name.startswith(own) for name in started(ran)), started(ran)

    at_work(real, tmp_path, test)
