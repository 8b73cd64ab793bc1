"""From what the operator wrote to an agent: a preset's name, `exec:COMMAND {prompt}`, or a command that speaks ACP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from myagent.agents import Agent
from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.operator import NOTHING_SAID, Operator
from myagent.agents.acp.presets import CLAUDE_P, UNKNOWN, preset
from myagent.agents.acp.resting import IDLE_SECONDS
from myagent.agents.builtin.command import CommandAgent
from myagent.agents.claude.agent import ClaudePrintAgent
from myagent.agents.exec import ExecAgent
from myagent.agents.tripwire import OnUnasked
from myagent.exceptions import MyagentError

EXEC = "exec:"


class NoOptions(MyagentError):
    """Options were given for an agent that has none."""

    def __init__(self, agent: str, names: Sequence[str]) -> None:
        super().__init__(agent, tuple(names))
        self.agent, self.names = agent, tuple(names)

    def __str__(self) -> str:
        return f"the {self.agent} agent has no options, and so none named {', '.join(self.names)}"


def choose(
    name: str | None,
    command: Sequence[str] = (),
    *,
    cwd: Path,
    allow_unsupervised: bool = False,
    options: Mapping[str, str] | None = None,
    on_unasked: OnUnasked | None = None,
    idle_seconds: float = IDLE_SECONDS,
    operator: Operator = NOTHING_SAID,
) -> Agent:
    """The agent that `--agent NAME` and `-- COMMAND` mean; without either, the command agent.

    With both, the command is started in place of the preset's own, and the preset says the rest. `options` are what to
    choose of what the agent offers; `operator` and `idle_seconds`, as in `AcpAgent`, are for agents that speak ACP.
    Nothing is started here. Raises `UnknownPreset`, `UnusableTemplate` for an `exec:` that is no command, or
    `NoOptions`.
    """
    options = options or {}
    given = (*options, *operator.named())
    if name is not None and name.startswith(EXEC):
        if given:
            raise NoOptions("exec", given)
        return ExecAgent(name.removeprefix(EXEC), cwd=cwd)
    if name in (None, "command") and not command:
        if given:
            raise NoOptions("command", given)
        return CommandAgent()
    known = UNKNOWN if name is None else preset(name)
    if known.name == CLAUDE_P:
        if operator.named():
            raise NoOptions(CLAUDE_P, operator.named())
        return ClaudePrintAgent(
            command or known.argv,
            cwd=cwd,
            preset=known,
            allow_unsupervised=allow_unsupervised,
            on_unasked=on_unasked,
            options=options,
        )
    return AcpAgent(
        command or known.argv,
        cwd=cwd,
        preset=known,
        allow_unsupervised=allow_unsupervised,
        on_unasked=on_unasked,
        options=options,
        idle_seconds=idle_seconds,
        operator=operator,
    )
