"""What is known of other people's agents, and how a mode of theirs is chosen."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psutil
import pytest
from tests.agents.contract import all_gone

from myagent.agents.acp import presets
from myagent.agents.acp.modes import Modes
from myagent.agents.acp.presets import (
    CLAUDE_P,
    PRESETS,
    UNKNOWN,
    Preset,
    UnknownPreset,
    find,
    hosted_env,
    preset,
    recognised,
)
from myagent.core.messages import PermissionMode

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.jsonl"))


def results(transcript: Path) -> list[dict[str, object]]:
    messages = [json.loads(line)["msg"] for line in transcript.read_text().splitlines()]
    return [message["result"] for message in messages if isinstance(message.get("result"), dict)]


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_recorded_agents_are_recognised_and_have_an_asking_mode(transcript: Path) -> None:
    infos = [result["agentInfo"]["name"] for result in results(transcript) if "agentInfo" in result]  # type: ignore[index]
    chosen = recognised(infos[0]) if infos else UNKNOWN
    assert transcript.name.startswith(chosen.name if chosen is not UNKNOWN else "deepagents")
    modes = [modes for result in results(transcript) if (modes := Modes.of(result)) is not None]
    for found in modes:
        assert found.wanted("default", chosen) == chosen.asking
        assert found.wanted("plan", chosen) in (chosen.plan, chosen.asking)
        assert found.wanted("bypassPermissions", chosen) in (chosen.bypass, chosen.asking)
    assert bool(modes) == (chosen is not UNKNOWN)


@pytest.mark.parametrize(
    ("available", "mode", "wanted"),
    [
        (("code", "ask", "architect"), "default", "ask"),
        (("default", "auto"), "default", "default"),
        (("auto", "yolo"), "default", None),
        (("auto", "yolo", "plan"), "plan", None),  # of an unknown agent not even its plan mode is trusted
        (("ask", "plan"), "plan", "ask"),
        (("ask", "yolo"), "bypassPermissions", "ask"),
        (("auto", "yolo"), "bypassPermissions", None),
    ],
)
def test_modes_of_unknown_agents(available: tuple[str, ...], mode: PermissionMode, wanted: str | None) -> None:
    assert Modes(available[0], available).wanted(mode, UNKNOWN) == wanted


def test_modes_come_from_either_place_and_nothing_else() -> None:
    rows = [{"value": "build"}, {"value": "plan"}]
    option = {"id": "m", "category": "mode", "type": "select", "currentValue": "plan", "options": rows}
    assert Modes.of({"configOptions": [{"category": "model"}, option]}) == Modes(
        "plan", ("build", "plan"), "m", ("", "")
    )
    assert Modes.of({"modes": {"currentModeId": "a", "availableModes": [{"id": "a"}]}}) == Modes(
        "a", ("a",), None, ("",)
    )
    for nothing in ({}, {"modes": None}, {"modes": {"currentModeId": "a", "availableModes": []}}, {"configOptions": 3}):
        assert Modes.of(nothing) is None


def test_every_preset_says_how_to_get_it_and_how_it_asks() -> None:
    for known in PRESETS.values():
        assert known.argv
        assert known.install
        assert known.names or known.name == CLAUDE_P
        assert known.asking or not known.asks
    assert json.loads(PRESETS["opencode"].env["OPENCODE_PERMISSION"])["*"] == "ask"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPreset, match="no agent named 'gemni'; known are command, model, claude, claude-p"):
        preset("gemni")


def test_authentication_needs_the_key_and_the_offer() -> None:
    gemini = PRESETS["gemini"]
    assert gemini.auth_method({"GEMINI_API_KEY": "x"}, ["oauth-personal", "gemini-api-key"]) == "gemini-api-key"
    assert gemini.auth_method({"GEMINI_API_KEY": ""}, ["gemini-api-key"]) is None
    assert gemini.auth_method({"GEMINI_API_KEY": "x"}, ["oauth-personal"]) is None


def test_find_tells_path_and_version_and_survives_what_has_none(tmp_path: Path) -> None:
    program = tmp_path / "some-agent"
    program.write_text("#!/bin/sh\necho starting >&2; echo 4.2\n")
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/bin:/usr/bin", "MYAGENT_TOKEN": "secret"}
    found = find(Preset(name="some", argv=("some-agent", "acp")), env)
    assert (found.path, found.version) == (str(program), "4.2")
    assert find(Preset(name="none", argv=("no-such-agent",)), env).path is None
    program.write_text("#!/no/such/interpreter\n")
    assert find(Preset(name="some", argv=("some-agent",)), env).version == ""


@pytest.mark.parametrize("away", ["", "setsid "])
def test_finding_is_held_up_by_nobody_who_keeps_the_output(
    tmp_path: Path, away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child in the program's process group ends with it; what the program said itself is its version."""
    program = tmp_path / "some-agent"
    program.write_text(f"#!/bin/sh\n{away}sleep 1000 &\necho $! >{tmp_path}/child; echo 4.2\n")
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/bin:/usr/bin"}
    found = find(Preset(name="some", argv=("some-agent",)), env)
    children = [each for each in psutil.process_iter() if each.pid == int((tmp_path / "child").read_text())]
    assert bool(children) or not away
    for child in children:
        if away:
            child.kill()
    asyncio.run(all_gone(children))
    assert found.version == "4.2"
    monkeypatch.setattr(presets, "VERSION_SECONDS", 0.1)
    program.write_text("#!/bin/sh\necho 4.2; exec sleep 1000\n")
    assert find(Preset(name="some", argv=("some-agent",)), env).version == ""


def test_hosted_agents_inherit_all_but_our_own_variables() -> None:
    env = {"MYAGENT_TOKEN": "secret", "MYAGENT_X": "1", "PATH": "/bin", "KEY": "k"}
    assert hosted_env(env, {"KEY": "theirs", "NEW": "1"}) == {"PATH": "/bin", "KEY": "theirs", "NEW": "1"}
