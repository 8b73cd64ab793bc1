"""The tools as a model is offered them: their schemas, and its calls carried out, shown, and asked leave for.

What comes from a model is anybody's text: a call of an unknown tool or with wrong arguments is told to it as a failure,
as is whatever a tool cannot do, and the turn goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from myagent.agents import Answer, Asked, Given, ToolCall
from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import located
from myagent.agents.rendering.bounds import cut
from myagent.agents.showing import Showing
from myagent.agents.tools import asking
from myagent.agents.tools.asking import Ask
from myagent.agents.tools.background import Background
from myagent.agents.tools.credentials import Places
from myagent.agents.tools.tail import Tail
from myagent.agents.tools.tools import CommandProposal, FileProposal, Tools
from myagent.agents.tools.workspace import ToolFailed
from myagent.core.messages import PermissionMode
from myagent.exceptions import MyagentError

RESULT_CHARACTERS = 32_000  # of one result that a model is told: some 8,000 tokens, as its makers' own agents do
CALLS = 32  # in one answer of a model; none of them is run when there are more
NAME_CHARACTERS = 80  # of a tool's name that is none of ours, shown

Path_ = Annotated[str, Meta(description="relative to the top of the workspace")]


class Read(Struct):
    """Read a text file of the workspace."""

    path: Path_


class Glob(Struct):
    """List the files and directories whose path matches a pattern."""

    pattern: Annotated[str, Meta(description='from the top of the workspace, such as "src/**/*.py" or "*"')]


class Grep(Struct):
    """Find the lines that match a Python regular expression, in a file or in all files below a directory."""

    pattern: Annotated[str, Meta(description="a Python regular expression")]
    path: Path_ = "."


class Bash(Struct):
    """Run a command line with /bin/sh at the top of the workspace. It has no terminal and no input, and whatever it
    leaves running is ended with it. One that is to go on while you do something else, such as a server, needs
    `run_in_background`: you are told its name, by which BashOutput reads and BashStop ends it."""

    command: str
    run_in_background: bool = False


class BashOutput(Struct):
    """Read what a command in the background has written since you last read it, and whether it has ended."""

    name: str


class BashStop(Struct):
    """End a command in the background; tells what it had still written."""

    name: str


class Edit(Struct):
    """Replace the one place in a text file where a text occurs, exactly as it is written, white space too."""

    path: Path_
    old: Annotated[str, Meta(description="must occur exactly once: give enough of what is around it")]
    new: str


class Write(Struct):
    """Make a text file, or replace the whole of one. Its directories are made too."""

    path: Path_
    content: str


Request = Read | Glob | Grep | Ask | Bash | BashOutput | BashStop | Edit | Write
READING: tuple[type[Request], ...] = (Read, Glob, Grep)
CHANGING: tuple[type[Request], ...] = (Bash, BashOutput, BashStop, Edit, Write)
_KINDS = {"Read": "read", "Glob": "search", "Grep": "search", "Bash": "execute", "Edit": "edit", "Write": "edit"}
_KINDS |= dict.fromkeys(("Ask", "BashOutput", "BashStop"), "other")


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as a model is told of it."""

    name: str
    description: str
    schema: JSON


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as a model wrote it; `arguments` is meant to be JSON. `call_id` is the model's own."""

    name: str
    arguments: str
    call_id: str


@dataclass(frozen=True, slots=True)
class External:
    """A tool of somebody else's, an MCP server: `program` is what the server is. `call` takes the tool's own name and
    its arguments, and raises `ToolFailed`. Each call of it is asked for, whatever the server says of the tool."""

    offer: Offer
    server: str
    name: str
    program: str
    call: Callable[[str, JSON], Awaitable[str]]

    def asked(self, arguments: JSON) -> ToolCall:
        given = json.dumps(arguments, indent=2, ensure_ascii=False)
        return ToolCall(
            tool_name=self.offer.name,
            input=arguments,
            text=f"tool {self.name} of the MCP server {self.server} ({self.program})\n{given}",
            title=cut(f"{self.name} (MCP server {self.server})", NAME_CHARACTERS),
            kind="other",
            plan={"server": self.server, "program": self.program, "tool": self.name},
        )


class Unusable(MyagentError):
    """A tool call that means nothing here."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name} was not run: {self.reason}"


class Withdrawn(MyagentError):
    """A permission request was cancelled, and with it the turn."""

    def __str__(self) -> str:
        return "the permission request was cancelled"


class Toolbox:
    """The tools of one turn. In mode `plan` those that change something are neither offered nor run."""

    def __init__(
        self,
        root: Path,
        mode: PermissionMode,
        showing: Showing,
        ask: Callable[[ToolCall], Awaitable[Answer]],
        question: Callable[[Asked], Awaitable[Given]],
        turn_id: str,
        externals: Mapping[str, External] | None = None,
        places: Places | None = None,
        background: Background | None = None,
    ) -> None:
        kinds = (*READING, Ask) if mode == "plan" else (*READING, Ask, *CHANGING)
        self._background = background
        self._kinds: dict[str, type[Request]] = {kind.__name__: kind for kind in kinds}
        self._externals = {} if mode == "plan" else dict(externals or {})
        self._root, self._tools, self._showing, self._ask, self._question = (
            root,
            Tools(root, places),
            showing,
            ask,
            question,
        )
        self._ids = (f"{turn_id}-{number}" for number in itertools.count(1))

    def offers(self) -> list[Offer]:
        _, schemas = msgspec.json.schema_components(self._kinds.values())
        return [
            Offer(name, " ".join(str(schema.pop("description")).split()), {**schema, "additionalProperties": False})
            for name, schema in schemas.items()
        ] + [external.offer for external in self._externals.values()]

    async def run(self, calls: Sequence[Call]) -> list[str]:
        """What to tell the model of each call. Neighbours that only read run together; what changes something runs by
        itself, in the order in which it was asked for. Raises `Withdrawn`."""
        if len(calls) > CALLS:
            return [f"not run: {len(calls)} tool calls at once, the limit is {CALLS}"] * len(calls)
        results: list[str] = []
        for reads, group in itertools.groupby(calls, key=lambda call: call.name in {kind.__name__ for kind in READING}):
            if not reads:
                results += [await self._run(call) for call in group]
                continue
            async with asyncio.TaskGroup() as together:
                tasks = [together.create_task(self._run(call), name=f"tool {call.name}") for call in group]
            results += [task.result() for task in tasks]
        return results

    async def _run(self, call: Call) -> str:
        shown_as = next(self._ids)
        if (external := self._externals.get(call.name)) is not None:
            return await self._external(shown_as, external, call)
        try:
            request = self._understood(call)
        except Unusable as error:
            await self._announce(shown_as, cut(call.name, NAME_CHARACTERS), "other", {}, "pending")
            return await self._failed(shown_as, str(error))
        given = msgspec.to_builtins(request)
        try:
            match request:
                case Read(path):
                    return await self._look(shown_as, f"Read {path}", given, path, partial(self._tools.read, path))
                case Glob(pattern):
                    glob = partial(self._tools.glob, pattern)
                    return await self._look(shown_as, f"Glob {pattern}", given, pattern, glob)
                case Grep(pattern, path):
                    grep = partial(self._tools.grep, pattern, path)
                    return await self._look(shown_as, f"Grep {pattern} {path}", given, path, grep)
                case Ask():
                    return await self._asked(shown_as, request)
                case Bash(command, True):
                    return await self._let_run(shown_as, await self._tools.bash(command, in_background=True))
                case Bash(command):
                    return await self._command(shown_as, await self._tools.bash(command))
                case BashOutput(name):
                    return await self._read_output(shown_as, f"BashOutput {name}", given, self._commands().read(name))
                case BashStop(name):
                    stopped = await self._commands().stop(name)
                    return await self._read_output(shown_as, f"BashStop {name}", given, stopped)
                case Edit(path, old, new):
                    return await self._change(shown_as, await self._tools.edit(path, old, new))
                case Write(path, content):
                    return await self._change(shown_as, await self._tools.write(path, content))
        except Withdrawn:
            raise
        except MyagentError as error:
            await self._announce(shown_as, f"{call.name} {next(iter(given.values()))}", _KINDS[call.name], given)
            return await self._failed(shown_as, str(error))

    def _understood(self, call: Call) -> Request:
        kind = self._kinds.get(call.name)
        if kind is None:
            raise Unusable(
                cut(call.name, NAME_CHARACTERS), f"there is no such tool; there are {', '.join(self._kinds)}"
            )
        try:
            return msgspec.json.decode(call.arguments, type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            raise Unusable(call.name, f"its arguments do not fit: {error}") from error

    async def _look(
        self, shown_as: str, title: str, given: JSON, path: str, find: Callable[..., Awaitable[str]]
    ) -> str:
        name = title.partition(" ")[0]
        await self._announce(shown_as, title, _KINDS[name], given, "in_progress")
        call = await self._tools.leave_to_look(name.lower(), given, path)
        if call is not None and (refusal := await self._leave(shown_as, call)) is not None:
            return await self._failed(shown_as, refusal)
        told = _bounded(await find(allowed=call is not None))
        await self._update(shown_as, "completed", rawOutput={"output": told})
        return told or "(nothing)"

    async def _asked(self, shown_as: str, ask: Ask) -> str:
        """Put a question to whoever drives. The answer is told to the model alone, as all answers to forms are."""
        title = f"Ask {cut(ask.question, NAME_CHARACTERS)}"
        await self._announce(shown_as, title, _KINDS["Ask"], msgspec.to_builtins(ask), "in_progress")
        told = asking.answer(await self._question(asking.asked(ask)))
        await self._update(shown_as, "completed")
        return told

    async def _change(self, shown_as: str, proposal: FileProposal) -> str:
        if (refusal := await self._leave(shown_as, proposal.call)) is not None:
            return await self._failed(shown_as, refusal)
        await proposal.launch()
        await self._update(shown_as, "completed")
        return f"{proposal.path} written"

    async def _command(self, shown_as: str, proposal: CommandProposal) -> str:
        if (refusal := await self._leave(shown_as, proposal.call)) is not None:
            return await self._failed(shown_as, refusal)
        output = Tail(RESULT_CHARACTERS)

        async def heard(text: str) -> None:
            output.add(text)
            await self._showing.beside(text, call_id=shown_as)

        code = await proposal.launch(heard, heard)
        # What it wrote was shown as it came; said again here, a host would show it twice.
        await self._update(shown_as, "completed" if code == 0 else "failed", rawOutput={"exitCode": code})
        return f"exit code {code}\n{output.text}"

    def _commands(self) -> Background:
        if self._background is None:
            raise ToolFailed("nothing can run in the background here")
        return self._background

    async def _let_run(self, shown_as: str, proposal: CommandProposal) -> str:
        commands = self._commands()
        if (refusal := await self._leave(shown_as, proposal.call)) is not None:
            return await self._failed(shown_as, refusal)
        name = commands.start(proposal)
        await self._update(shown_as, "completed", rawOutput={"background": name})
        return f"it runs in the background as {name}"

    async def _read_output(self, shown_as: str, title: str, given: JSON, told: str) -> str:
        """What was read; it was shown when it came."""
        await self._announce(shown_as, title, "other", given, "in_progress")
        await self._update(shown_as, "completed")
        return _bounded(told)

    async def _external(self, shown_as: str, external: External, call: Call) -> str:
        try:
            arguments = msgspec.json.decode(call.arguments, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            await self._announce(shown_as, cut(call.name, NAME_CHARACTERS), "other", {}, "pending")
            return await self._failed(shown_as, str(Unusable(call.name, f"its arguments do not fit: {error}")))
        if (refusal := await self._leave(shown_as, external.asked(arguments))) is not None:
            return await self._failed(shown_as, refusal)
        try:
            told = _bounded(await external.call(external.name, arguments))
        except ToolFailed as error:
            return await self._failed(shown_as, _bounded(str(error)))
        await self._update(shown_as, "completed", rawOutput={"output": told})
        return told or "(nothing)"

    async def _leave(self, shown_as: str, call: ToolCall) -> str | None:
        """Ask permission for a call; why it may not run, or `None`."""
        content = [
            {"type": "diff", "path": diff.path, "oldText": diff.old_text, "newText": diff.new_text}
            for diff in call.diffs
        ]
        more: JSON = {"content": content} if content else {}
        await self._announce(shown_as, call.title, call.kind, call.input, **more)
        answer = await self._ask(call)
        if answer.kind == "cancelled":
            raise Withdrawn
        if answer.kind != "allow":
            return answer.refusal
        await self._update(shown_as, "in_progress")
        return None

    async def _announce(
        self, shown_as: str, title: str, kind: str, given: Any, status: str = "pending", **more: Any
    ) -> None:
        if not self._showing.knows(shown_as):
            update = {"sessionUpdate": "tool_call", "toolCallId": shown_as, "title": title, "kind": kind}
            await self._showing.show(update | {"status": status, "rawInput": given} | located(self._root, given) | more)

    async def _failed(self, shown_as: str, sentence: str) -> str:
        content = [{"type": "content", "content": {"type": "text", "text": sentence}}]
        await self._update(shown_as, "failed", content=content)
        return sentence

    async def _update(self, shown_as: str, status: str, **more: Any) -> None:
        update = {"sessionUpdate": "tool_call_update", "toolCallId": shown_as, "status": status}
        await self._showing.show(update | more)


def _bounded(text: str) -> str:
    if len(text) <= RESULT_CHARACTERS:
        return text
    return f"{text[:RESULT_CHARACTERS]}\n({len(text) - RESULT_CHARACTERS:,} more characters are left out)"
