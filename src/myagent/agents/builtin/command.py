"""The command agent, which answers when no model is configured: a prompt is one command and does what it says."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from myagent.agents import AgentInfo, Answer, ToolCall, Turn, TurnEnd, TurnIO
from myagent.agents.acp.skills import with_skills
from myagent.agents.tools import asking
from myagent.agents.tools.asking import Ask
from myagent.agents.tools.credentials import Places
from myagent.agents.tools.tools import SHELL, CommandProposal, FileProposal, Tools
from myagent.agents.tools.workspace import ToolFailed
from myagent.agents.work import Work
from myagent.exceptions import AgentUnavailable, MyagentError

PIECE_CHARACTERS = 8192  # of an answer in one chunk: with its structured update well below the frame limit

HELP = """\
No model is configured, so this is command mode. A prompt is one command:

  read PATH              show a file
  glob PATTERN           list files: glob src/**/*.py
  grep REGEX [PATH]      find lines; quote a pattern with spaces: grep "def main" src
  write PATH             make or replace a file; its content follows on the next lines
  edit PATH              replace one place in a file; on the next lines:
                           <<<<<<<
                           old text, which must occur exactly once
                           =======
                           new text; leave it out to delete the old lines
                           >>>>>>>
  ask QUESTION           ask whoever drives, and show the answer; each next line is a choice
  !COMMAND LINE          run it with sh in the workspace; when it ends, so does all that it left running
  help                   show this

write, edit and ! ask for permission first.
"""

_QUOTED = re.compile(r"""(?P<quote>["'])(?P<pattern>.*?)(?P=quote)(?:\s+(?P<path>.*))?""")


class Misunderstood(MyagentError):
    """A prompt that is no command."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word

    def __str__(self) -> str:
        return f'no model is configured, and "{self.word}" is not a command; try: help'


class Malformed(MyagentError):
    """A command without what it needs."""

    def __init__(self, command: str, need: str) -> None:
        super().__init__(command, need)
        self.command, self.need = command, need

    def __str__(self) -> str:
        return f"{self.command} needs {self.need}; try: help"


class CommandAgent:
    """An adapter of the agent port without a model; deterministic. `commands` are for clients that show what there is:
    (name, what it does, what it takes)."""

    commands = (
        ("read", "show a file", "PATH"),
        ("glob", "list files", "PATTERN"),
        ("grep", "find lines", "REGEX [PATH]"),
        ("write", "make or replace a file", "PATH, and its content on the next lines"),
        ("edit", "replace one place in a file", "PATH, and the places on the next lines: see help"),
        ("ask", "ask a question", "QUESTION, and its choices on the next lines"),
        ("help", "show what there is", ""),
    )

    def __init__(self) -> None:
        self._work = Work()

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(name="command", note="no model configured: command mode")

    async def start(self) -> None:
        """Raises `AgentUnavailable` where there is no shell."""
        if not os.access(SHELL, os.X_OK):
            raise AgentUnavailable("command", f"there is no {SHELL}", "install a shell")

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        """Carry out one command. A failure is one line on stderr, exit code 1, and the turn's message."""
        return await self._work.run(_Turn(turn, io).answer(), name=f"command turn {turn.turn_id}")

    async def close(self) -> None:
        """Stop what runs and wait until it has ended; idempotent."""
        await self._work.close()


class _Turn:
    """One prompt being carried out, as one tool call. What is seen of the call is its updates, not text: whoever typed
    the command knows it."""

    def __init__(self, turn: Turn, io: TurnIO) -> None:
        self._prompt, self._io = turn.prompt.lstrip(), io
        _, self._left_out = with_skills(turn)
        self._call_id = f"{turn.turn_id}-1"
        self._tools = Tools(turn.cwd, Places(turn.credential_places))

    async def answer(self) -> TurnEnd:
        if self._left_out:
            await self._io.stderr(self._left_out)
        try:
            if self._prompt.startswith("!"):
                return await self._bash(self._prompt[1:].strip())
            first, newline, rest = self._prompt.partition("\n")
            word, argument = [*first.split(maxsplit=1), "", ""][:2]
            word = word.removeprefix("/")  # as clients write what is offered to them as a command
            argument = argument.strip()
            if word in ("read", "glob", "grep", "help") and rest.strip():
                raise Malformed(word, "to be the only line")
            match word:
                case "help":
                    await self._say(HELP)
                    return TurnEnd(exit_code=0)
                case "read":
                    path = _needed(word, "a path", argument)
                    return await self._look(word, {"path": path}, path, partial(self._tools.read, path))
                case "glob":
                    pattern = _needed(word, "a pattern", argument)
                    return await self._look(word, {"pattern": pattern}, pattern, partial(self._tools.glob, pattern))
                case "grep":
                    pattern, path = _pattern_and_path(_needed(word, "a regular expression", argument))
                    given = {"pattern": pattern, "path": path}
                    return await self._look(word, given, path, partial(self._tools.grep, pattern, path))
                case "write":
                    path = _needed(word, "a path", argument)
                    _needed(word, "the content, from the second line on", newline)
                    return await self._change(await self._tools.write(path, rest))
                case "edit":
                    path = _needed(word, "a path", argument)
                    return await self._change(await self._tools.edit(path, *_old_and_new(rest)))
                case "ask":
                    return await self._question(_needed(word, "a question", argument), rest)
                case _:
                    raise Misunderstood(word if len(word) <= 40 else f"{word[:40]}…")
        except Misunderstood as error:
            # Whoever says hello wants to know what can be said; a script wants to know that nothing was done.
            await self._say(HELP)
            return await self._fail(str(error))
        except MyagentError as error:
            return await self._fail(str(error))

    async def _look(self, name: str, given: dict[str, str], path: str, find: Callable[..., Awaitable[str]]) -> TurnEnd:
        kind = "read" if name == "read" else "search"
        await self._announce(f"{name} {' '.join(given.values())}", kind, given, "in_progress")
        try:
            call = await self._tools.leave_to_look(name, given, path)
            if call is not None and (answer := await self._io.ask(call)).kind != "allow":
                await self._update("failed")
                return await self._refused(answer)
            text = await find(allowed=call is not None)
        except (MyagentError, asyncio.CancelledError):
            await self._update("failed")
            raise
        await self._say(text)
        await self._update("completed")
        return TurnEnd(exit_code=0)

    async def _question(self, question: str, rest: str) -> TurnEnd:
        try:
            given = await self._io.question(asking.asked(Ask(question, rest.splitlines())))
            await self._say(f"{asking.answer(given)}\n")
        except ToolFailed as error:
            return await self._fail(f"ask: {error}")
        return TurnEnd(exit_code=0)

    async def _change(self, proposal: FileProposal) -> TurnEnd:
        async def launch() -> int:
            await proposal.launch()
            return 0

        return await self._ask_and(proposal.call, launch, written=proposal.path)

    async def _bash(self, line: str) -> TurnEnd:
        proposal: CommandProposal = await self._tools.bash(_needed("!", "a command line", line))
        # What a command writes is passed on raw: an update beside it would say every byte twice.
        return await self._ask_and(proposal.call, lambda: proposal.launch(self._io.stdout, self._io.stderr))

    async def _ask_and(self, call: ToolCall, launch: Callable[[], Awaitable[int]], written: str = "") -> TurnEnd:
        content = [
            {"type": "diff", "path": diff.path, "oldText": diff.old_text, "newText": diff.new_text}
            for diff in call.diffs
        ]
        await self._announce(call.title, call.kind, call.input, "pending", **({"content": content} if content else {}))
        try:
            answer = await self._io.ask(replace(call, call_id=self._call_id))
            if answer.kind != "allow":
                await self._update("failed")
                return await self._refused(answer)
            await self._update("in_progress")
            code = await launch()
        except (MyagentError, asyncio.CancelledError):
            await self._update("failed")
            raise
        await self._update("completed" if code == 0 else "failed", rawOutput={"exitCode": code})
        if written:
            await self._say(f"{written} written\n")
        return TurnEnd(exit_code=code)

    async def _refused(self, answer: Answer) -> TurnEnd:
        if answer.kind == "cancelled":
            return TurnEnd(stop_reason="cancelled")
        return await self._fail(answer.refusal)

    async def _fail(self, sentence: str) -> TurnEnd:
        if not getattr(self._io, "updates_only", False):  # such a side says it itself
            await self._io.stderr(f"{sentence}\n")
        return TurnEnd(exit_code=1, message=sentence)

    async def _say(self, text: str) -> None:
        for start in range(0, len(text), PIECE_CHARACTERS):
            piece = text[start : start + PIECE_CHARACTERS]
            content = {"type": "text", "text": piece}
            await self._io.stdout(piece, update={"sessionUpdate": "agent_message_chunk", "content": content})

    async def _announce(self, title: str, kind: str, given: Any, status: str, **more: Any) -> None:
        update = {"sessionUpdate": "tool_call", "toolCallId": self._call_id, "title": title, "kind": kind}
        await self._io.stderr("", update=update | {"status": status, "rawInput": given} | more)

    async def _update(self, status: str, **more: Any) -> None:
        update = {"sessionUpdate": "tool_call_update", "toolCallId": self._call_id, "status": status}
        await self._io.stderr("", update=update | more)


def _needed(command: str, need: str, given: str) -> str:
    if not given:
        raise Malformed(command, need)
    return given


def _pattern_and_path(text: str) -> tuple[str, str]:
    """A pattern is one word, or quoted; nothing in it is unescaped, so that `\\d` stays `\\d`."""
    if match := _QUOTED.fullmatch(text):
        return match["pattern"], (match["path"] or "").strip() or "."
    pattern, _, path = text.partition(" ")
    return pattern, path.strip() or "."


def _old_and_new(text: str) -> tuple[str, str]:
    """What stands between the marks: the first line of `=` ends the old text, the last line of `>` the new one."""
    body = text.rstrip()
    begin, middle, end = "<<<<<<<\n", "\n=======\n", "\n>>>>>>>"
    at = body.find(middle, len(begin))
    if not body.startswith(begin) or at < 0 or not body.endswith(end):
        raise Malformed("edit", "<<<<<<<, the old text, =======, the new text and >>>>>>>, each on lines of their own")
    old, start, stop = body[len(begin) : at], at + len(middle), len(body) - len(end)
    if start > stop:  # nothing in place of the old lines: their last newline goes too
        return f"{old}\n", ""
    return old, body[start:stop]
