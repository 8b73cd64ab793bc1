"""`myagent agent`: one turn here on this terminal, without a server."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from myagent.access.state_directory import check_name
from myagent.agents import Agent, Answer, Asked, Given, ToolCall, Turn, TurnEnd, UnaskedCall
from myagent.agents.acp.presets import UnknownPreset
from myagent.agents.exec import UnusableTemplate
from myagent.cli.agent_choice import chosen
from myagent.cli.commands import agent_acp
from myagent.cli.directory import given_directory
from myagent.cli.terminal.driver import DONE, FAILED, INTERRUPTED, NO_TERMINAL, NOT_ALLOWED, USAGE
from myagent.cli.terminal.form import fill
from myagent.cli.terminal.output import Screen, abandon_stdout
from myagent.cli.terminal.question import Keyboard, ask
from myagent.core.display import escape
from myagent.core.messages import PermissionMode, PermissionRequest, SessionId
from myagent.core.permissions import TOO_LARGE, policy, request_body
from myagent.core.questions import question_event
from myagent.exceptions import MyagentError
from myagent.redaction.redactor import Redactor
from myagent.text.wording import one_line, request_name

MARK = "[agent]"
TURN = "turn"


def run(arguments: argparse.Namespace) -> int:
    if arguments.acp == (arguments.prompt is not None):
        arguments.usage_error("give a PROMPT, or --acp for prompts by a client on stdin")
    if not arguments.acp and not arguments.prompt.strip():
        arguments.usage_error("the prompt is blank")
    screen = Screen(raw=arguments.raw, mark=MARK)
    try:
        cwd = given_directory(arguments)
        check_name(cwd)
        if arguments.acp:
            redactor = Redactor()
            agent = chosen(arguments, cwd, cover=redactor.data)
            return asyncio.run(_until_signal(agent_acp.serve(agent, redactor)))
        agent = chosen(arguments, cwd, cover=None)
        has_terminal = sys.stdin is not None and sys.stdin.isatty()
        local = Local(screen, Keyboard(sys.stdin.fileno()) if has_terminal else None, arguments.permission_mode)
        code = asyncio.run(_until_signal(local.turn(agent, arguments.prompt, cwd)))
    except MyagentError as error:
        screen.say(escape(str(error)))
        return USAGE if isinstance(error, UnknownPreset | UnusableTemplate) else NOT_ALLOWED
    if local.nobody_reads:
        abandon_stdout()
        return FAILED
    return code


async def _until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Do it; each SIGINT or SIGTERM cancels it, and who is being cancelled already goes at once."""
    task = asyncio.create_task(work, name="local turn")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED


class Local:
    """The host's side of a turn that is nobody's but this terminal's. `keyboard` is `None` where there is none."""

    def __init__(self, screen: Screen, keyboard: Keyboard | None, mode: PermissionMode) -> None:
        self._screen, self._keyboard, self._mode = screen, keyboard, mode
        self._asking = asyncio.Lock()
        self._cwd = ""
        self._work: asyncio.Task[Any] | None = None
        self.nobody_reads = False  # whoever read our output has gone

    async def turn(self, agent: Agent, prompt: str, cwd: Path) -> int:
        """Start the agent, run one turn, end the agent; the exit code. Raises `AgentUnavailable`."""
        self._cwd, self._work = str(cwd), asyncio.current_task()
        try:
            await agent.start()
            if agent.info.note:
                self._screen.say(escape(f"agent {agent.info.name} ({agent.info.note})"))
            try:
                end = await agent.run(Turn("local", TURN, prompt, self._mode, cwd), self)
            except asyncio.CancelledError:
                self._told(TurnEnd("cancelled"))
                raise
            return self._told(end)
        finally:
            await agent.close()

    def _told(self, end: TurnEnd) -> int:
        """Say how the turn ended; the exit code of it."""
        if self.nobody_reads:
            return FAILED
        code = {"end_turn": DONE, "cancelled": INTERRUPTED}.get(end.stop_reason, FAILED)
        shown = code if end.exit_code is None else end.exit_code
        self._screen.end_turn(TURN)
        self._screen.say(f"turn ended: exit {shown} ({one_line(end.message or end.stop_reason)})")
        return code if code != DONE or shown == 0 else FAILED

    async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        self._write(text, error=False)

    async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        self._write(text, error=True)

    def _write(self, text: str, *, error: bool) -> None:
        if self.nobody_reads:
            return
        try:
            self._screen.agent(TURN, text, error=error)
        except BrokenPipeError:
            self.nobody_reads = True
            if self._work is not None:
                self._work.cancel()

    async def unasked(self, call: UnaskedCall) -> None:
        self._screen.say(f"UNSUPERVISED: {one_line(str(call))}")

    def tell(self, **state: Any) -> None:
        """Nobody comes late."""

    async def question(self, asked: Asked) -> Given:
        event = question_event(
            asked, question_id=TURN, turn_id=TURN, session_id=SessionId("local"), asked_at="", expires_at=""
        )
        if event is None or self._keyboard is None:
            self._screen.say(f"question cancelled: {one_line(asked.message)}: {NO_TERMINAL}")
            return Given("cancel", reason=NO_TERMINAL)
        async with self._asking:
            try:
                filled = await fill(event, self._keyboard, self._screen.own)
            except asyncio.CancelledError:
                self._keyboard.discard()
                self._screen.say("the question is withdrawn")
                raise
            self._screen.answered()
        return Given(filled.action, filled.content)

    async def ask(self, call: ToolCall) -> Answer:
        given = policy(self._mode)
        if given is not None:
            return given
        body = request_body(call, cwd=self._cwd, expires_at="")
        if body is None:
            return TOO_LARGE
        request = PermissionRequest(
            id=TURN, session_id=SessionId("local"), permission_request_id=body.digest, request=body
        )
        if self._keyboard is None:
            self._screen.say(f"permission denied: {request_name(request)}: {NO_TERMINAL}")
            return Answer("deny", NO_TERMINAL)
        async with self._asking:
            try:
                decision = await ask(request, self._keyboard, self._screen.own, cwd=self._cwd, mark=MARK)
            except asyncio.CancelledError:
                self._keyboard.discard()  # half an answer is no input for whatever comes next
                self._screen.say("the question is withdrawn")
                raise
            self._screen.answered()
        return Answer(decision.kind, option_id=decision.option)
