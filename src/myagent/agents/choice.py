"""From what the operator wrote to an agent: a preset's name, `exec:COMMAND {prompt}`, or a command that speaks ACP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from myagent.agents import Agent
from myagent.agents.acp import AcpAgent
from myagent.agents.command import CommandAgent
from myagent.agents.exec import ExecAgent
from myagent.agents.presets import UNKNOWN, preset

EXEC = "exec:"


def choose(name: str | None, command: Sequence[str] = (), *, cwd: Path, allow_unsupervised: bool = False) -> Agent:
    """The agent that `--agent NAME` and `-- COMMAND` mean; without either, the command agent.

    With both, the command is started in place of the preset's own, and the preset says the rest. Nothing is started
    here. Raises `UnknownPreset`, or `UnusableTemplate` for an `exec:` that is no command.
    """
    if name is not None and name.startswith(EXEC):
        return ExecAgent(name.removeprefix(EXEC), cwd=cwd)
    if name in (None, "command") and not command:
        return CommandAgent()
    known = UNKNOWN if name is None else preset(name)
    return AcpAgent(command or known.argv, cwd=cwd, preset=known, allow_unsupervised=allow_unsupervised)
