"""What the operator writes means one agent, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.presets import PRESETS, UnknownPreset
from myagent.agents.builtin.command import CommandAgent
from myagent.agents.choice import choose
from myagent.agents.exec import ExecAgent, UnusableTemplate


def test_each_way_of_naming_an_agent(tmp_path: Path) -> None:
    assert isinstance(choose(None, cwd=tmp_path), CommandAgent)
    assert isinstance(choose("command", cwd=tmp_path), CommandAgent)
    assert choose("exec:aider --message {prompt}", cwd=tmp_path).info.name == "exec aider"
    for name in PRESETS:
        assert choose(name, cwd=tmp_path).info.name == name
    assert choose(None, ["/opt/any-agent", "--acp"], cwd=tmp_path).info.name == "any-agent"
    assert choose("gemini", ["/opt/gemini", "--acp"], cwd=tmp_path).info.name == "gemini"
    assert isinstance(choose("gemini", cwd=tmp_path), AcpAgent)
    assert isinstance(choose("exec:x {prompt}", cwd=tmp_path), ExecAgent)


def test_what_means_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownPreset):
        choose("gpt", cwd=tmp_path)
    with pytest.raises(UnusableTemplate):
        choose("exec:", cwd=tmp_path)
