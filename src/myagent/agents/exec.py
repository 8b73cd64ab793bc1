"""Host a plain command: `exec:CMD {prompt}` runs once for each prompt, and what it writes is the answer.

Such a command has no permission prompts of its own that could be answered from here, so the one question there is comes
before it starts, and is about all of it. The prompt becomes one argument; no shell sees it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from myagent.agents import Agent, AgentInfo, ToolCall, Turn, TurnEnd, TurnIO
from myagent.agents.acp.presets import hosted_env
from myagent.agents.acp.skills import with_skills
from myagent.agents.processes.process import run
from myagent.agents.tools.plan import Plan, PlanChanged, differences
from myagent.agents.work import Work
from myagent.core.messages import Option
from myagent.exceptions import AgentUnavailable, MyagentError

PLACE = "{prompt}"
NOTE = "no permission prompts of its own"

_STOPS = (signal.SIGINT, signal.SIGTERM)  # as Ctrl-C at a terminal: what such commands know how to end well on
_OPTIONS = (Option("allow", "Run it", "allow_once"), Option("reject", "Do not run it", "reject_once"))


class UnusableTemplate(MyagentError):
    """What follows `exec:` is no command with a place for the prompt."""

    def __init__(self, template: str, reason: str) -> None:
        super().__init__(template, reason)
        self.template, self.reason = template, reason

    def __str__(self) -> str:
        return f"exec:{self.template} is no command to run: {self.reason}"


class ExecAgent(Agent):
    """The Agent port over a command line.

    Args:
        template: The command in shell quoting; each `{prompt}` in it stands for the prompt. Nothing else is expanded.
        env: The environment it inherits, before our own variables are taken out; ours if not given.
    """

    def __init__(self, template: str, *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        try:
            self._words = shlex.split(template)
        except ValueError as error:
            raise UnusableTemplate(template, str(error).lower()) from error
        if not self._words or PLACE in self._words[0]:
            raise UnusableTemplate(template, "it names no program")
        if not any(PLACE in word for word in self._words):
            raise UnusableTemplate(template, f"it has no place for the prompt, {PLACE}")
        self._cwd = cwd
        self._env = hosted_env(os.environ if env is None else env)
        self._work = Work()

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(name=f"exec {self._words[0]}", note=f"{NOTE}: each prompt is one command to allow")

    async def start(self) -> None:
        if self._program(self._cwd) is None:
            raise AgentUnavailable(
                self.info.name, f"there is no program {self._words[0]}", "install it, or give its path"
            )

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        return await self._work.run(self._run(turn, io), name=f"exec turn {turn.turn_id}")

    async def _run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        _, left_out = with_skills(turn)
        if left_out:
            await io.stderr(left_out)
        argv = [word.replace(PLACE, turn.prompt) for word in self._words]
        plan = self._plan(argv, turn.cwd)
        answer = await io.ask(
            ToolCall(
                tool_name="exec",
                input={"argv": argv, "cwd": str(turn.cwd)},
                text=shlex.join(argv),
                title=shlex.join(self._words),
                kind="execute",
                reason=f"{self._words[0]} has {NOTE}: this allows whatever it does with this prompt",
                options=_OPTIONS,
                plan=plan,
            )
        )
        try:
            if answer.kind == "cancelled":
                return TurnEnd("cancelled")
            if answer.kind != "allow":
                return await self._failed(io, answer.refusal)
            if changed := differences(plan, self._plan(argv, turn.cwd)):
                raise PlanChanged(changed)
            code = await run(argv, cwd=turn.cwd, env=self._env, stdout=io.stdout, stderr=io.stderr, stops=_STOPS)
        except MyagentError as error:
            return await self._failed(io, str(error))
        return TurnEnd(exit_code=code, message=None if code == 0 else f"{self._words[0]} exited with status {code}")

    async def close(self) -> None:
        """Stop what runs, and wait until it has ended; idempotent."""
        await self._work.close()

    def _program(self, cwd: Path) -> str | None:
        search_path = os.pathsep.join(str(cwd / entry) for entry in self._env.get("PATH", os.defpath).split(os.pathsep))
        name = self._words[0]
        return shutil.which(str(cwd / name) if os.sep in name else name, path=search_path)

    def _plan(self, argv: list[str], cwd: Path) -> Plan:
        """What is allowed: these words, in this directory, run by this very file."""
        program = self._program(cwd)
        if program is None:
            return {"argv": argv, "program": None}
        status = os.stat(program)
        facts = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        return {"argv": argv, "program": [os.path.realpath(program), facts]}

    async def _failed(self, io: TurnIO, sentence: str) -> TurnEnd:
        await io.stderr(f"{sentence}\n")
        return TurnEnd(exit_code=1, message=sentence)
